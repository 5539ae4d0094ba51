"""Metrics from logits, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from lockstep import evaluation
from lockstep.data.dataset import Affine, Split


def test_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 10)).astype("float32") * 3, rng.integers(0, 10, 200)
    rows = {(row["metric"], row["condition"]): row for row in evaluation.measure(logits, labels, "test")}
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    assert rows["accuracy", ""]["value"] == metrics.accuracy_score(labels, logits.argmax(axis=1))
    assert rows["cross_entropy", ""]["value"] == pytest.approx(
        metrics.log_loss(labels, probabilities), rel=1e-6
    )
    recalls = metrics.recall_score(labels, logits.argmax(axis=1), average=None)
    assert [rows["accuracy", f"class={c}"]["value"] for c in range(10)] == pytest.approx(recalls)
    assert rows["accuracy", "class=3"]["n"] == (labels == 3).sum()


def test_cross_entropy_is_exact_for_large_logits_and_soft_targets():
    assert evaluation.cross_entropy(np.array([1000.0, 0.0]), np.array([0.0, 1.0])) == 1000
    assert evaluation.cross_entropy(np.array([0.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
    assert np.isnan(evaluation.cross_entropy(np.array([np.nan, 0.0]), np.array([1.0, 0.0])))
    assert not np.isfinite(evaluation.cross_entropy(np.array([np.inf, 0.0]), np.array([1.0, 0.0])))


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1203])
def test_predict_calls_with_one_batch_size_and_returns_every_image(count):
    sizes = []

    class Echo:
        def logits(self, images):
            sizes.append(len(images))
            return images.reshape(len(images), -1)

    images = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2, 1)
    split = Split(images, np.zeros(count, np.uint8), np.arange(count))
    logits = evaluation.predict(Echo(), split, Affine(np.array(255.0), np.array(0.0)), "float64")
    assert np.array_equal(logits, images.reshape(count, 4))
    assert set(sizes) == {evaluation.BATCH}
