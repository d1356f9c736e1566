"""pyasic-rs' side of a measurement: found once, then the fields that change, so many devices at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from bench import child

# What our sweep reads as well; all else is excluded.
FIELDS = {"wattage", "fans", "uptime", "hashrate", "pools", "is_mining"}
IDENTIFYING = 50


async def serve(settings: dict[str, Any]) -> None:
    """Do what is asked, line by line, until the lines end."""
    from pyasic_rs import MinerFactory
    from pyasic_rs.data import DataField

    names = [name for name in dir(DataField) if name[0].isupper()]
    excluded = [getattr(DataField, name) for name in names if _snake(name) not in FIELDS]
    factory = MinerFactory()
    addresses = [address for address, _ in settings["targets"]]
    miners: list[Any] = []
    deadline_s = settings["deadline_s"]

    async def find(address: str) -> None:
        if (miner := await factory.get_miner(address)) is not None:
            miners.append(miner)

    async def read(miner: Any) -> bool:
        try:
            data = await asyncio.wait_for(miner.get_data(exclude=excluded), deadline_s)
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
                    scan = MinerFactory.from_subnet(asked["subnet"]).scan()
                    told["found"] = len(await asyncio.wait_for(scan, asked["limit_s"]))
                except TimeoutError:
                    told["found"] = 0
            child.tell(told)
        else:
            with child.measured() as told:
                read_well = await child.each(miners, read, settings["concurrency"])
                told["readings"] = told["hashrates"] = sum(read_well)
            child.tell(told)


def _snake(name: str) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name).lstrip("_")


if __name__ == "__main__":
    asyncio.run(serve(child.settings()))
