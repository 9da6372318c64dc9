"""From votes to certificates: the record and the collection, the table, a durable run, a summary."""
