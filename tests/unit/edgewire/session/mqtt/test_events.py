from edgewire.codec.mqtt.packets import Publish
from edgewire.session.mqtt.events import ConnectReceived, PublishReceived


def test_a_message_is_its_packet() -> None:
    assert PublishReceived is Publish


def test_a_password_does_not_show_in_a_text() -> None:
    event = ConnectReceived(
        client_id="d",
        username="u",
        password=b"SharedAccess",
        level=4,
        bridge=False,
        clean_start=True,
        keep_alive_s=60,
        will=None,
    )
    assert "SharedAccess" not in repr(event)
