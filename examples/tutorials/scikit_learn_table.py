"""You have a table: boosting of scikit-learn in a pipeline, certified in the units of your features.

python examples/tutorials/scikit_learn_table.py (about 5 seconds)
"""

from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sfumato as sf

x, y = load_wine(return_X_y=True, as_frame=True)
train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=40, random_state=0, stratify=y)

# noise and radius are in standard deviations of each feature; a list in place of "std" gives your own units
pipeline = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=20, random_state=0))
smoothed = sf.SmoothedEstimator(pipeline, beta=0.5, scale="std").fit(train_x, train_y)
print("accuracy of the vote:", smoothed.score(test_x, test_y))

certificates = smoothed.certify(test_x, test_y, plan="fixed(100,1000)")
certificates.to_tsv("table.tsv")
first = certificates[0]
print(
    f"row {test_x.index[0]}: class {first.predict} up to a change of {first.radius:.2f} standard deviations,"
)
print(f"so of {first.radius * smoothed.scale_[0]:.2f} in {x.columns[0]}, if it changes alone")
print("certified accuracy,", certificates.accuracy([0.25]))
