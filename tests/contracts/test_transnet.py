"""TransNetV2 from its checkpoint finds made cuts and dissolves."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.encoders import weights
from matinee.encoders.transnet import load
from matinee.media.shots import ShotFinder
from tests import made
from tests.golden.test_shots import joined, moving


@pytest.fixture(scope="module")
def network():
    made.require_weights("shots")
    return load(weights.require("shots"))


def test_cuts_are_found_by_the_network_too(network):
    frames, cuts = joined([45, 40, 50])
    assert np.abs(network.find(frames) - cuts).max() <= 1
    assert ShotFinder().find(frames).tolist() == cuts


def test_no_cut_in_one_shot_and_lengths_are_kept(network):
    frames = moving(3, 70)
    assert network.probabilities(frames).shape == (70,)
    assert network.find(frames).tolist() == []
    assert network.find(frames[:1]).tolist() == []


def test_a_dissolve_is_found(network):
    frames, cuts = joined([50, 50], dissolve=12)
    found = network.find(frames)
    assert len(found) == 1
    assert abs(found[0] - cuts[0]) <= 8
