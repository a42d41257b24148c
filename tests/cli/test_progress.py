import pytest

from drip_lightning.cli.progress import progress_bar


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
