import torch

from drip_lightning.ops.panel import checkerboard, matte_panel


def test_checkerboard_by_hand() -> None:
    board = checkerboard(4, 4, square=2)
    expected = torch.tensor([[0.6, 0.6, 0.85, 0.85], [0.6, 0.6, 0.85, 0.85], [0.85, 0.85, 0.6, 0.6]])
    for channel in board[0]:
        torch.testing.assert_close(channel[:3], expected)


def test_panel_shows_its_five_pictures_side_by_side() -> None:
    height, width = 6, 4
    image, foreground = torch.rand(2, 2, 3, height, width)
    trimap = torch.randint(3, (2, 1, height, width)) / 2
    alpha = torch.rand(2, 1, height, width)
    panel = matte_panel(image, trimap, alpha, foreground)
    shown = panel.split(width, dim=-1)
    assert len(shown) == 5
    assert torch.equal(shown[0], image)
    for channel in range(3):
        assert torch.equal(shown[1][:, channel], trimap[:, 0])
        assert torch.equal(shown[2][:, channel], alpha[:, 0])
    assert torch.equal(shown[3], foreground)
    # the board's first square is larger than the picture: a constant 0.6
    torch.testing.assert_close(shown[4], alpha * foreground + (1 - alpha) * 0.6)


def test_composite_is_the_foreground_where_alpha_is_one_and_the_board_where_it_is_zero() -> None:
    foreground = torch.rand(1, 3, 2, 40)
    alpha = torch.zeros(1, 1, 2, 40)
    alpha[..., :3] = 1
    composite = matte_panel(foreground, alpha, alpha, foreground)[..., 4 * 40 :]
    assert torch.equal(composite[..., :3], foreground[..., :3])
    assert torch.equal(composite[..., 3:], checkerboard(2, 40)[..., 3:])
