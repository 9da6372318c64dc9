"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): 60,000 and 10,000 garments of 28 x 28 pixels."""

from __future__ import annotations

from sfumato.datasets.idx import IdxSet

_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

FASHION_MNIST = IdxSet(
    name="fashion-mnist",
    class_names=_CLASSES,
    folders=("fashion-mnist", "FashionMNIST/raw", "fashion-mnist/raw", "raw", "FashionMNIST"),
    address="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    checksums={
        "train_x": (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        "train_y": (
            "25c81989df183df01b3e8a0aad5dffbe",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        "test_x": (
            "bef4ecab320f06d8554ea6380940ec79",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        "test_y": (
            "bb300cfdad3c16e7a12a480ee83cd310",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    },
)
