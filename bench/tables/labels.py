"""What a few labels do: held-out accuracy beside scikit-learn's semi-supervised classifiers.

``python -m bench.tables.labels`` labels five rows of each class of a set, over ten seeds, and fits
the other rows of one half without their classes. Printed is the accuracy on the other half, mean
and least: of a mixture of a component per class fitted with labels; of the same without labels,
its components named by the labelled rows (by the class of most of them); of scikit-learn's
LabelSpreading, and of SelfTrainingClassifier around quadratic discriminant analysis; and of the
mixture of the labelled rows alone, which says what the others add.

``--labelled 2`` takes other numbers, ``--types tied`` another covariance type, ``--seeds 3`` fewer.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from sklearn import datasets
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.model_selection import train_test_split
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from bench.tools.table import Table
from fastgmm import GaussianMixture

Fitted = Callable[[np.ndarray], np.ndarray]


def drawn(separation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw three overlapping classes of different shapes."""
    rng = np.random.default_rng([1000, seed])
    sizes = (400, 200, 100)
    centres = separation * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    scales = np.array([[1, 1, 1], [0.4, 1.5, 1], [1.5, 0.4, 1]])
    parts = [
        rng.normal(centre, scale, (n, 3))
        for n, centre, scale in zip(sizes, centres, scales, strict=True)
    ]
    return np.concatenate(parts), np.repeat(range(3), sizes)


def crossed(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw classes that are no clusters: each of two clusters has rows of both."""
    rng = np.random.default_rng([2000, seed])
    rows = rng.normal(size=(600, 2))
    rows[300:, 0] += 6.0
    return rows, (rows[:, 1] > 0.0).astype(int)


SETS: dict[str, Callable[[int], tuple[np.ndarray, np.ndarray]]] = {
    "iris": lambda seed: datasets.load_iris(return_X_y=True),
    "wine": lambda seed: datasets.load_wine(return_X_y=True),
    "breast cancer": lambda seed: datasets.load_breast_cancer(return_X_y=True),
    "three shapes, 3 apart": lambda seed: drawn(3.0, seed),
    "three shapes, 1 apart": lambda seed: drawn(1.0, seed),
    "classes across clusters": crossed,
}


def with_labels(rows: np.ndarray, labels: np.ndarray, kind: str, seed: int) -> Fitted:
    k = int(labels.max()) + 1
    return (
        GaussianMixture(k, covariance_type=kind, random_state=seed).fit(rows, labels=labels).predict
    )


def without_labels(rows: np.ndarray, labels: np.ndarray, kind: str, seed: int) -> Fitted:
    """Fit without labels; each component has the class of most labelled rows in it."""
    k, known = int(labels.max()) + 1, labels >= 0
    model = GaussianMixture(k, covariance_type=kind, random_state=seed).fit(rows)
    shares = model.predict_proba(rows[known])
    counts = np.array([shares[labels[known] == c].sum(axis=0) for c in range(k)])
    return lambda others: counts.argmax(axis=0)[model.predict(others)]


def of_labelled_alone(rows: np.ndarray, labels: np.ndarray, kind: str, seed: int) -> Fitted:
    known = labels >= 0
    return with_labels(rows[known], labels[known], kind, seed)


def spreading(rows: np.ndarray, labels: np.ndarray, kind: str, seed: int) -> Fitted:
    return LabelSpreading(kernel="knn").fit(rows, labels).predict


def self_training(rows: np.ndarray, labels: np.ndarray, kind: str, seed: int) -> Fitted:
    qda = QuadraticDiscriminantAnalysis(solver="eigen", shrinkage="auto")  # five rows fill no other
    return SelfTrainingClassifier(qda).fit(rows, labels).predict


METHODS = {
    "labels": with_labels,
    "no labels": without_labels,
    "labelled rows alone": of_labelled_alone,
    "LabelSpreading": spreading,
    "SelfTraining(QDA)": self_training,
}


def accuracy(name: str, method: Callable[..., Fitted], n: int, kind: str, seed: int) -> float:
    """Return the part of one half of a set whose class is found from the other."""
    rows, classes = SETS[name](seed)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    rows, others, classes, hidden = train_test_split(
        rows, classes, test_size=0.5, stratify=classes, random_state=seed
    )
    rng, labels = np.random.default_rng(seed), np.full(len(classes), -1)
    for c in np.unique(classes):
        its = rng.choice(np.flatnonzero(classes == c), n, replace=False)
        labels[its] = c
    return float((method(rows, labels, kind, seed)(others) == hidden).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--labelled", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--types", nargs="+", default=["full", "tied"])
    parser.add_argument("--only", nargs="+", default=list(SETS))
    settings = parser.parse_args()
    warnings.simplefilter("ignore")
    table = Table({"set": "", "type": ""} | dict.fromkeys(METHODS, ">"))
    for name in settings.only:
        for kind in settings.types:
            found = [
                [accuracy(name, method, settings.labelled, kind, s) for s in range(settings.seeds)]
                for method in METHODS.values()
            ]
            table.row(name, kind, *(f"{np.mean(each):.3f} ({min(each):.2f})" for each in found))


if __name__ == "__main__":
    main()
