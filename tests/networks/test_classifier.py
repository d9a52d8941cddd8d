"""A classifier takes images of any size and sees more than one number in them."""

import pytest
import torch

from kakusan.networks.classifier import Classifier


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 32, 32), (1, 4, 4), (3, 5, 17), (1, 1, 1)])
def test_features_and_logits_of_images_of_any_size(channels, height, width):
    network = Classifier(channels, min(height, width), classes=7)
    images = torch.randn(3, channels, height, width)
    features = network.features(images)
    assert features.shape == (3, network.head.in_features)
    torch.testing.assert_close(network(images), network.head(features))
    assert network(images).shape == (3, 7)


def test_an_image_is_judged_by_itself():
    """Whatever else is in the batch, so that a share of recognised samples does not depend on it."""
    network, images = Classifier(1, 8, classes=3), torch.randn(5, 1, 8, 8)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=1e-4, atol=1e-5)


def test_a_gradient_reaches_every_parameter():
    network = Classifier(3, 16, classes=4)
    network(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())
