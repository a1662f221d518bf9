from gateway.observe.process import OpenFilesLimited


def test_too_few_open_files_are_told_with_what_to_do() -> None:
    sentence = OpenFilesLimited(limit=1024, connections=5000).sentence()
    assert "1024" in sentence
    assert "5000" in sentence
    assert "nofile" in sentence
