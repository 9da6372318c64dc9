"""MNIST (LeCun, Cortes & Burges 1998): 60,000 and 10,000 handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

from sfumato.datasets.idx import IdxSet

MNIST = IdxSet(
    name="mnist",
    class_names=tuple(str(digit) for digit in range(10)),
    folders=("mnist", "MNIST/raw", "mnist/raw", "raw", "MNIST"),
    address="https://ossci-datasets.s3.amazonaws.com/mnist/",
    checksums={
        "train_x": (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        "train_y": (
            "d53e105ee54ea40749a09fcbcd1e9432",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        "test_x": (
            "9fb629c4189551a2d022fa330f9573f3",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        "test_y": (
            "ec29112dd5afa0611ce80d1b7f02629c",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
)
