"""scikit-learn: a forest votes, an estimator is smoothed, a linear one is certified within its distance."""

import copy

import numpy as np
import pandas
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import sfumato as sf
from sfumato.errors import DataError, ModelError, SettingError
from tabular import distances, linear


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
@pytest.mark.parametrize("scale", ["std", None])
def test_the_radius_of_a_linear_model_never_exceeds_the_true_distance(load, scale):
    x, y = load(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=40, random_state=0, stratify=y)
    beta = 0.5 if scale == "std" else 0.5 * float(np.median(train_x.std(0)))
    smoothed = sf.SmoothedEstimator(linear(), beta=beta, scale=scale, copies=3).fit(train_x, train_y)
    found = smoothed.certify(test_x, test_y, plan="fixed(100,5000)")
    radii, true = np.array([one.radius for one in found]), distances(smoothed, test_x)
    assert (radii <= true).all()
    # two classes: the smoothed linear model is the model itself, and votes find nearly all of the distance
    if len(smoothed.classes_) == 2 and scale == "std":
        near = (true < 2 * beta) & (true > 0.5 * beta)
        assert near.sum() > 5
        assert np.median(radii[near] / true[near]) > 0.85
    assert found.accuracy([0.0]).shares[0] > (0.8 if scale == "std" else 0.5)


def test_scale_is_the_unit_of_noise_and_radius():
    x, y = load_iris(return_X_y=True)
    units = np.array([1.0, 10.0, 0.1, 2.0])
    plain = sf.SmoothedEstimator(LogisticRegression(max_iter=500), scale=None, alpha=0).fit(x, y)
    scaled = sf.SmoothedEstimator(plain.estimator, scale=units, alpha=0).fit(x, y)
    assert (plain.unit_, scaled.unit_) == (
        "the features' own units",
        "multiples of scale (1, 10, 0.1, 2)",
    )
    # the same fit; votes at x / units, multiplied again
    counted = sf.SmoothedClassifier(
        lambda z: scaled.estimator_.predict_proba(z.double().numpy() * units), 0.25, device="cpu"
    ).votes((x[50:60] / units).astype(np.float32), 4000)
    assert np.abs(scaled.set_params(votes=4000).predict_proba(x[50:60]) - counted / 4000).max() < 0.05
    deviations = sf.SmoothedEstimator(plain.estimator).fit(x, y)
    assert np.allclose(deviations.scale_, x.std(0))
    for wrong in ([1.0, 2.0], [1.0, -1.0, 1.0, 1.0], "mad"):
        with pytest.raises(SettingError, match="scale must"):
            sf.SmoothedEstimator(plain.estimator, scale=wrong).fit(x, y)


@pytest.mark.parametrize("kind", [dict, pandas.Series])
def test_a_scale_by_name_is_that_of_the_feature_of_this_name(kind):
    random = np.random.default_rng(0)
    frame = pandas.DataFrame({"age": random.uniform(20, 80, 60), "income": random.normal(4e4, 1e4, 60)})
    y = (frame.age > 50).astype(int)
    by_name = kind({"income": 1e4, "age": 10.0})
    plain = LogisticRegression(max_iter=500)
    smoothed = sf.SmoothedEstimator(plain, scale=by_name, copies=1).fit(frame, y)
    assert smoothed.scale_.tolist() == [10.0, 1e4]
    assert smoothed.unit_ == "multiples of scale (age 10, income 10000)"
    fitted = plain.fit(frame, y)
    assert (
        sf.from_estimator(fitted, by_name).fingerprint == sf.from_estimator(fitted, [10.0, 1e4]).fingerprint
    )
    for wrong, said in (
        ({"age": 10.0}, "each of 'age', 'income', got none for 'income'"),
        ({"age": 10.0, "income": 1.0, "size": 1.0}, "got 'size', which is none of them"),
        ({"age": 10.0, "income": "high"}, "scale must be positive finite numbers"),
    ):
        for use in (
            lambda wrong=wrong: sf.SmoothedEstimator(plain, scale=kind(wrong)).fit(frame, y),
            lambda wrong=wrong: sf.from_estimator(fitted, kind(wrong)),
        ):
            with pytest.raises(SettingError, match=said):
                use()
    with pytest.raises(SettingError, match=r"scale has names .'income', 'age'., but what it is for has none"):
        sf.SmoothedEstimator(plain, scale=by_name).fit(frame.to_numpy(), y)
    with pytest.raises(SettingError, match=r"each of 2 features, got shape .3,."):
        sf.from_estimator(fitted, [1.0, 2.0, 3.0])


def test_a_series_without_names_is_taken_in_its_order():
    x, y = load_iris(return_X_y=True)
    units = pandas.DataFrame(x).std()
    smoothed = sf.SmoothedEstimator(LogisticRegression(max_iter=500), scale=units, copies=1).fit(x, y)
    assert np.array_equal(smoothed.scale_, units)


def test_the_estimator_is_trained_under_its_noise():
    x = np.repeat([[0.0], [1.0]], 300, axis=0)
    rows = []

    class Keeps(LogisticRegression):
        def fit(self, X, y):
            rows.append((X, y))
            return super().fit(X, y)

    sf.SmoothedEstimator(Keeps(), beta=0.2, alpha=0.4, scale=[2.0], copies=5).fit(x, np.ravel(x) > 0)
    noisy, y = rows[0]
    residual = noisy.ravel() - y
    assert noisy.shape == (3000, 1)
    assert residual.std() == pytest.approx(0.8, rel=0.05)
    assert len(set(residual)) > 2900


def test_a_row_gets_the_same_answer_alone_and_in_company():
    x, y = load_iris(return_X_y=True)
    smoothed = sf.SmoothedEstimator(LogisticRegression(max_iter=500), beta=1.0).fit(x, y)
    together = smoothed.predict_proba(x[::-1])[::-1]
    assert np.array_equal(smoothed.predict_proba(x[40:60]), together[40:60])
    assert (together.max(1) < 1).any()
    rows = smoothed.certify(x[[0, 60]], y[[0, 60]], plan="fixed(10,100)")
    assert [one.idx for one in rows] == [0, 1]
    assert rows[1].votes == 110


def test_a_repeated_row_is_certified_with_votes_of_its_own():
    x, y = load_iris(return_X_y=True)
    smoothed = sf.SmoothedEstimator(LogisticRegression(max_iter=500), beta=1.0).fit(x, y)
    row = x[[60]]
    found = smoothed.certify(np.repeat(row, 3, axis=0), plan="fixed(10,200)")
    assert len({one.counts for one in found}) == 3
    assert found[0].counts == smoothed.certify(row, plan="fixed(10,200)")[0].counts
    assert len(set(smoothed.predict(np.repeat(row, 3, axis=0)))) == 1


def test_text_labels_data_frames_searches_and_pickles(tmp_path):
    frame = load_iris(as_frame=True)
    names = np.array(["setosa", "versicolor", "virginica"])[frame.target]
    columns = ColumnTransformer([("petals", StandardScaler(), ["petal length (cm)", "petal width (cm)"])])
    search = GridSearchCV(make_pipeline(columns, LogisticRegression()), {"logisticregression__C": [0.1, 1.0]})
    smoothed = sf.SmoothedEstimator(search, copies=2).fit(frame.data, names)
    assert smoothed.score(frame.data, names) > 0.85
    again = copy.deepcopy(smoothed)  # through its pickled state
    assert np.array_equal(again.predict_proba(frame.data[:20]), smoothed.predict_proba(frame.data[:20]))
    found = smoothed.certify(frame.data[:3], names[:3], plan="decide(0.1)")
    assert [one.label for one in found] == [0, 0, 0]
    with pytest.raises(DataError, match="'rose' is not one of the classes"):
        smoothed.certify(frame.data[:1], ["rose"])
    assert isinstance(frame.data, pandas.DataFrame)


def test_any_fitted_classifier_is_a_base_classifier():
    x, y = load_wine(return_X_y=True)
    forest = RandomForestClassifier(20, min_samples_leaf=3, random_state=0, n_jobs=2).fit(x, y)
    classifier = sf.from_estimator(forest, scale=x.std(0))
    points = (x / x.std(0)).astype(np.float32)
    assert (classifier.model(sf_tensor(points)).numpy().argmax(1) == forest.predict(x)).mean() > 0.98
    found = sf.SmoothedClassifier(classifier, 0.2, device="cpu").certify(
        points[:3], "decide(0.1)", labels=y[:3]
    )
    assert found.accuracy([0.1]).shares == (1.0,)
    again = RandomForestClassifier(20, min_samples_leaf=3, random_state=0, n_jobs=2).fit(x, y)
    same = sf.from_estimator(again, scale=x.std(0)).fingerprint
    other = sf.from_estimator(
        RandomForestClassifier(20, random_state=1).fit(x, y), scale=x.std(0)
    ).fingerprint
    assert classifier.fingerprint == same != other
    assert sf.from_estimator(forest).fingerprint != same
    with pytest.raises(ModelError, match="must be a fitted classifier"):
        sf.from_estimator(RandomForestClassifier())


def sf_tensor(points):
    import torch

    return torch.from_numpy(points)


@pytest.mark.slow
def test_it_passes_the_checks_of_scikit_learn():
    results = check_estimator(sf.SmoothedEstimator(LogisticRegression(), copies=3, votes=100))
    failed = [one["check_name"] for one in results if one["status"] not in ("passed", "skipped")]
    assert failed == []
    assert sum(one["status"] == "passed" for one in results) > 40


@pytest.mark.parametrize("kind", [object, str])
def test_numbers_in_place_of_names_are_refused(kind):
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=kind)[y]
    smoothed = sf.SmoothedEstimator(LogisticRegression(max_iter=500), copies=1).fit(x, names)
    with pytest.raises(DataError, match=r"0 is not one of the classes .'setosa', 'versicolor'"):
        smoothed.certify(x[:2], y[:2], plan="vote(10)")
    assert smoothed.certify(x[:2], list(names[:2]), plan="vote(10)")[0].label == 0
