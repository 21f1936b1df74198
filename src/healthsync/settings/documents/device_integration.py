"""`device_integration`: devices, their protocols and parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from healthsync.settings.documents.names import Names
from healthsync.settings.reading import setting
from healthsync.standards.units import ucum_code


@dataclass(frozen=True, slots=True)
class DeviceProtocol:
    """A way in for device data."""

    name: Literal["hl7_mllp", "fhir_rest", "ieee_11073"] = setting("The protocol.")
    devices: tuple[str, ...] = setting("Kinds of devices that use it.")
    port: int | None = setting("Port of hl7_mllp.", default=None, minimum=1, maximum=65535)
    endpoint: str | None = setting("Path of fhir_rest.", default=None)


@dataclass(frozen=True, slots=True)
class DeviceParameter:
    """One parameter of a device."""

    device_param: str = setting("The device's name for it.")
    fhir_code: str = setting("Its LOINC code.")
    unit: str = setting("The unit the device sends; bpm and mmHg are understood.")


@dataclass(frozen=True, slots=True)
class Device:
    """One device model."""

    id: str = setting("Name of the model.")
    type: str = setting("Kind of device.")
    protocol: Literal["hl7_mllp", "fhir_rest", "ieee_11073"] = setting("The way in.")
    mapping: tuple[DeviceParameter, ...] = setting("Its parameters.")


@dataclass(frozen=True, slots=True)
class DeviceIntegration:
    """Devices."""

    protocols: tuple[DeviceProtocol, ...] = setting("The ways in.")
    devices: tuple[Device, ...] = setting("The device models.")


@dataclass(frozen=True, slots=True)
class DeviceIntegrationDocument:
    """Devices."""

    device_integration: DeviceIntegration = setting("Devices.", later="device parameter maps are not built yet")

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each protocol and each device."""
        described = self.device_integration
        for protocol in described.protocols:
            where = f"port {protocol.port}" if protocol.port else protocol.endpoint or ""
            yield f"{protocol.name} {where}: {', '.join(protocol.devices)}".replace(" :", ":")
        spoken = {protocol.name for protocol in described.protocols}
        for at, device in enumerate(described.devices):
            if device.protocol not in spoken:
                names.fault(f"device_integration.devices[{at}].protocol", f"{device.protocol} is not under protocols")
            parameters = [
                f"{one.device_param} → LOINC {one.fhir_code} in {ucum_code(one.unit) or one.unit}"
                for one in device.mapping
            ]
            yield f"device {device.id} by {device.protocol}: {'; '.join(parameters)}"
