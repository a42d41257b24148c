import pytest

from drip_lightning.cli.progress import parts_bar, progress_bar


def test_the_bar_is_on_standard_error_and_results_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # standard error passes for a terminal, standard output is a file
    with progress_bar() as progress:
        for _ in progress.track([1], description="working"):
            print("result")
    written = capsys.readouterr()
    assert written.out == "result\n"
    assert "working" in written.err


def test_the_parts_of_one_picture_have_a_bar_of_their_own_while_it_is_worked_on() -> None:
    progress = progress_bar()
    with parts_bar(progress, "cat.png") as tell:
        tell(3, 40)
        (bar,) = progress.tasks
        assert (bar.description, bar.completed, bar.total) == ("cat.png", 3, 40)
    assert not progress.tasks
