"""Maps of uncertainty against errors."""

import numpy as np
import pytest

from mclir_basicsr.metrics.calibration import calibration, sparsification


def test_against_closed_forms():
    """Errors that grow evenly from 0 to 1: what is left has half the mean error of the largest left."""
    error = np.linspace(0, 1, 10000).reshape(100, 100)
    shares = np.arange(100) / 100
    np.testing.assert_allclose(sparsification(error, error), 1 - shares, atol=1e-3)
    np.testing.assert_allclose(sparsification(-error, error), 1 + shares, atol=1e-3)
    found = calibration(-error, error)
    assert found.spearman == pytest.approx(-1)
    assert found.ause == pytest.approx(2 * shares.mean(), abs=1e-3)
    assert found.ause_random == pytest.approx(shares.mean(), abs=1e-3)


def test_a_map_that_knows_nothing():
    random = np.random.default_rng(0)
    error = random.random((200, 200))
    found = calibration(random.random((200, 200)), error)
    assert abs(found.spearman) < 0.02
    assert found.ause == pytest.approx(found.ause_random, abs=0.02)


def test_maps_without_order_and_of_another_shape():
    error = np.random.default_rng(0).random((4, 4))
    assert np.isnan(calibration(np.ones((4, 4)), error).spearman)
    assert np.isnan(calibration(error, np.zeros((4, 4))).spearman)
    with pytest.raises(ValueError, match='one shape'):
        calibration(np.ones((4, 5)), error)
