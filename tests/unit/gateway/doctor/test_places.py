from pathlib import Path

import pytest

from gateway.doctor.finding import NotCheckedError
from gateway.doctor.places import Speech, connection_fields, places_of
from support.patients import patient_of

EVENT_HUB = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=s;SharedAccessKey=a2V5a2V5a2V5;EntityPath=h"


def test_every_place_that_the_settings_name_is_there(tmp_path: Path) -> None:
    endpoints = {
        "archive": {"type": "eventhub"},
        "bus": {"type": "kafka", "servers": ["k1.test:9093", "k2.test:9092"], "topic": "t", "login": "none"},
    }
    patient = patient_of(
        tmp_path,
        document={"routes": {"a": 'FROM /messages/* INTO Endpoint("archive")'}, "endpoints": endpoints},
        GATEWAY_ENDPOINT_ARCHIVE_CONNECTION_STRING=EVENT_HUB,
        IOTEDGE_WORKLOADURI="unix:///nowhere",
        IOTEDGE_GATEWAYHOSTNAME="edgehub",
        IOTEDGE_IOTHUBHOSTNAME="hub.test",
        GATEWAY_UPSTREAM_AMQP="hub",
        GATEWAY_UPSTREAM_AMQP_TRANSPORT="websocket",
        GATEWAY_DPS="dps.test",
        GATEWAY_BROKER="mqtt://broker.test",
    )
    assert [(place.host, place.port, place.speech) for place in places_of(patient)] == [
        ("edgehub", 8883, Speech.TLS),
        ("hub.test", 443, Speech.AMQP_WEBSOCKET),
        ("dps.test", 443, Speech.TLS),
        ("broker.test", 1883, Speech.TCP),
        ("ns.servicebus.windows.net", 5671, Speech.AMQP),
        ("k1.test", 9093, Speech.TCP),
        ("k2.test", 9092, Speech.TCP),
    ]


def test_the_simulators_edgehub_is_a_place_too(tmp_path: Path) -> None:
    patient = patient_of(tmp_path, EdgeHubConnectionString="HostName=h;GatewayHostName=bench;SharedAccessKey=x==")
    assert [place.host for place in places_of(patient)] == ["bench"]


def test_what_cannot_be_read_is_no_place(tmp_path: Path) -> None:
    patient = patient_of(tmp_path, GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_BROKER="http://x", GATEWAY_HUB_NAME="h")
    assert places_of(patient) == []
    with pytest.raises(NotCheckedError):
        places_of(patient_of(tmp_path, GATEWAY_MQTT_PORT="x"))


def test_fields_of_a_connection_string_keep_their_equals_signs() -> None:
    assert connection_fields("HostName=h;SharedAccessKey=ab==") == {"hostname": "h", "sharedaccesskey": "ab=="}
