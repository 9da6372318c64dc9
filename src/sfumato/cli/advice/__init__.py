"""The commands that give advice before training: ``advise`` and what it rests on."""
