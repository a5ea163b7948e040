import pytest
import torch
from torch import nn

from _reference.nets import Counter, Function, cnn, mlp
from lit_attr._view import looking_at
from lit_attr.updates import Walks
from lit_attr.updates._victim import Scale, Victim

X = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 2])


def victim(view, scale=None, goal=Y, **settings):
    return Victim(view, Walks.of(goal[:, None], -1.0), scale or Scale(0.0, 1.0, X.shape[1:]), **settings)


@pytest.mark.parametrize(
    ("shape", "image"),
    [((5,), (1, 1, 5)), ((4, 5), (1, 4, 5)), ((3, 4, 5), (3, 4, 5)), ((2, 3, 4, 5), (1, 2, 60))],
)
def test_samples_are_images_and_back(shape, image):
    scale = Scale(-1.0, 3.0, torch.Size(shape))
    points = torch.rand(7, *shape) * 4 - 1
    images = scale.images(points)
    assert images.shape == (7, *image)
    torch.testing.assert_close(images.flatten(), (points.flatten() + 1) / 4)
    torch.testing.assert_close(scale.points(images), points)


def test_images_in_the_unit_range_are_not_rounded():
    scale, images = Scale(0.0, 1.0, torch.Size([3, 8, 8])), torch.rand(2, 3, 8, 8)
    assert torch.equal(scale.images(images), images)
    assert torch.equal(scale.points(images), images)


def test_logits_are_those_of_the_model_in_its_range():
    net = cnn()
    with looking_at(net, X, Y) as view:
        shown = victim(view, Scale(-2.0, 2.0, X.shape[1:]))
        torch.testing.assert_close(shown(X.float()), net(X.float().double() * 4 - 2).float())


def test_nothing_to_switch_and_the_samples_device():
    net = cnn().train()
    with looking_at(net, X, Y) as view:
        shown = victim(view)
        assert shown.train() is shown
        assert shown.eval().train(True).training is False
        assert not net.training  # the view's eval mode is not undone
        (parameter,) = shown.parameters()
        assert parameter.device == X.device
        assert not list(shown.modules())[1:]
        assert shown.state_dict() == {}


def test_passes_are_counted_in_the_view():
    net = Counter(cnn())
    with looking_at(net, X, Y) as view:
        shown = victim(view)
        images = X.float().requires_grad_()
        logits = shown(images)
        torch.autograd.grad(logits[0, 0], images, retain_graph=True)
        torch.autograd.grad(logits.sum(), images)
        shown(images[:1].detach())
        assert view.passes == (1.5, 2.0) == (net.forwards / 2, net.backwards / 2)


def test_outputs_of_any_form_are_logits_and_parts_of_a_batch_too():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cnn()

        def forward(self, x):
            return {"logits": self.net(x)}

    with looking_at(Named(), X, Y) as view:
        shown = victim(view)
        torch.testing.assert_close(shown(X[1:].float()), shown(X.float())[1:])
    one = Function(lambda x: x.flatten(1).sum(1))
    with looking_at(one, X, torch.tensor([0, 1])) as view:
        logits = victim(view, goal=torch.tensor([0, 1]))(X.float())
    torch.testing.assert_close((logits[:, 1] - logits[:, 0]), one(X.float().double())[:, 0].float())


def test_a_goal_that_the_model_does_not_have_is_refused():
    goal = torch.tensor([0, 3])
    with (
        looking_at(cnn(), X, Y) as view,
        pytest.raises(ValueError, match=r"`goal` must be a class index in 0\.\.2, got 3"),
    ):
        victim(view, goal=goal)(X.float())


def test_autocast_is_entered_for_the_model_alone():
    seen = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp().float()

        def forward(self, x):
            found = self.net(x)
            seen.append(found.dtype)
            return found

    x = torch.rand(2, 6)
    with looking_at(Watching(), x, Y) as view:
        with torch.autocast("cpu", torch.bfloat16):
            shown = victim(view, Scale(0.0, 1.0, x.shape[1:]))
        assert shown(x).dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
    assert seen == [torch.bfloat16]


@pytest.mark.parametrize(("stride", "kept"), [(0, []), (1, [0, 1, 2, 3]), (2, [0, 2])])
def test_points_that_are_differentiated_for_are_seen_once(stride, kept):
    leaves = [torch.rand(2, 3, 8, 8, requires_grad=True) for _ in range(4)]
    with looking_at(cnn(), X, Y) as view:
        shown = victim(view, stride=stride)
        for leaf in leaves:
            shown(leaf)
            shown(nn.functional.pad(leaf / 2, [1, 1, 1, 1])[..., 1:-1, 1:-1])
            shown(leaf.detach())
            shown(leaf[:1])  # of other samples, or of noise
    assert len(shown.seen) == len(kept)
    assert all(torch.equal(seen, leaves[i]) for seen, i in zip(shown.seen, kept, strict=True))
