from edgewire.transport.watchers import SendingWatcher, StoppingWatcher


class Both:
    def on_sending_paused(self) -> None: ...

    def on_sending_resumed(self) -> None: ...

    def on_stopping(self) -> None: ...


def test_an_owner_is_a_watcher_by_its_methods() -> None:
    assert isinstance(Both(), SendingWatcher)
    assert isinstance(Both(), StoppingWatcher)
    assert not isinstance(object(), SendingWatcher)
    assert not isinstance(object(), StoppingWatcher)
