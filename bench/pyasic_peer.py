"""pyasic's side of a measurement: found once, then the fields that change, so many devices at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from bench import child

FIELDS = ["wattage", "fans", "uptime", "hashrate", "pools"]
IDENTIFYING = 50  # above 500 it finds none (FIELD-NOTES)


async def serve(settings: dict[str, Any]) -> None:
    """Do what is asked, line by line, until the lines end."""
    import pyasic

    logging.disable(logging.CRITICAL)
    addresses = [address for address, _ in settings["targets"]]
    miners: list[Any] = []
    deadline_s = settings["deadline_s"]

    async def find(address: str) -> None:
        if (miner := await pyasic.get_miner(address)) is not None:
            miners.append(miner)

    async def read(miner: Any) -> bool:
        try:
            data = await asyncio.wait_for(miner.get_data(include=FIELDS), deadline_s)
        except (Exception, TimeoutError):  # noqa: BLE001 - whatever it raises is a reading that was not made
            return False
        return data.hashrate is not None or data.wattage is not None

    async for asked in child.requests():
        if asked["do"] == "identify":
            await child.each(addresses, find, IDENTIFYING)
            child.tell({"found": len(miners)})
        elif asked["do"] == "scan":
            with child.measured() as told:
                try:
                    network = pyasic.MinerNetwork.from_subnet(asked["subnet"])
                    told["found"] = len(await asyncio.wait_for(network.scan(), asked["limit_s"]))
                except TimeoutError:
                    told["found"] = 0
            child.tell(told)
        else:
            with child.measured() as told:
                read_well = await child.each(miners, read, settings["concurrency"])
                told["readings"] = told["hashrates"] = sum(read_well)
            child.tell(told)


if __name__ == "__main__":
    asyncio.run(serve(child.settings()))
