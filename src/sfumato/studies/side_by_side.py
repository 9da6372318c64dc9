"""How many trainings of a study run at the same time on one machine, if the user does not say.

Networks of this size gain less from a second thread than from a second training beside them. The number
depends on the study and the machine only, not on what is computed already: a study that is continued trains
with as many threads as before, which decide the last bits of the weights.
"""

from __future__ import annotations

import torch

from sfumato.devices import choose_device
from sfumato.studies.design import Design

# Input values that all trainings together pass over which make up for the seconds in which processes start.
# Two trainings of an MLP on MNIST for two epochs are 188 million: 1.2 to 1.3 times as fast by two processes.
_WORTHWHILE = 100_000_000


def side_by_side(
    design: Design, images: int, values: int, *, device: str = "auto", threads: int | None = None
) -> tuple[int, int]:
    """Return how many processes are worth it, and how many threads each training then has.

    ``images`` of ``values`` numbers each are trained on.
    One process for each training, as far as there are cores for their ``threads`` (those of PyTorch, shared
    out, if not given). Short studies, those on a GPU and those whose models start from one another have one.

    Raises:
        SettingError: a device that there is not.
    """
    cores = torch.get_num_threads()
    models = len(design.grid.alpha) * len(design.grid.seeds)
    together = min(models, cores // (threads or 1))
    alone = design.model.warm_start != "none" or choose_device(device).type != "cpu"
    if together < 2 or alone or images == 0:  # without images the study itself says what is missing
        return 1, threads or cores
    passed = values * images * design.model.shared.epochs_for(images) * models
    return (together, threads or cores // together) if passed >= _WORTHWHILE else (1, threads or cores)
