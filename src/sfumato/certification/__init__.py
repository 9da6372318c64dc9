"""From votes to certificates: the record and the collection, the table, a durable run, a summary."""

from sfumato.certification.accuracy import CurvePoint, certified_accuracy
from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates, read_certificates
from sfumato.certification.smoothed_classifier import SmoothedClassifier

__all__ = [
    "Certificate",
    "Certificates",
    "CurvePoint",
    "SmoothedClassifier",
    "certified_accuracy",
    "read_certificates",
]
