"""Grad-CAM: where in a picture a network finds its evidence for fake (Selvaraju et al., ICCV 2017, arXiv 1610.02391).

Our own few lines because the libraries do not fit: `grad-cam` brings opencv-python in, which overwrites the headless
build, and `captum` holds numpy below 2.
"""

import numpy as np
import numpy.typing as npt
import torch

from pipeline.models.network import Network


def heatmaps(network: Network, inputs: torch.Tensor) -> npt.NDArray[np.float32] | None:
    """Return how much each place speaks for fake, (n, rows, columns), 0..1, for `inputs` float32 (n, 3, side, side).

    The cells are those of the last feature map of the backbone that still has more than one row and column: each
    channel counts by the mean gradient of the logit of fake over it, what speaks against fake is cut off, and each map
    is scaled to a highest value of 1 (paper, equations 1 and 2). A picture in which nothing speaks for fake has a map
    of zeros. Puts `network` into evaluation mode; its weights and their gradients stay as they are.

    None where there is no such map: the network ends in tokens (transformers), or gives no logit but an embedding.
    """
    if network.spec.outputs > 2:
        return None
    network.eval()
    executed: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, given: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            executed.append(output)

    hooks = [module.register_forward_hook(keep) for module in network.backbone.modules()]
    try:
        with torch.enable_grad():  # the inputs ask for gradients: the backbone's weights may be frozen
            logits = network.fake_logit(network(inputs.detach().requires_grad_()))
    finally:
        for hook in hooks:
            hook.remove()
    features = _last_map(executed)
    if features is None:
        return None
    (gradient,) = torch.autograd.grad(logits.sum(), features)  # pictures do not mix: each has its own logit's gradient
    weights = gradient.mean((2, 3), keepdim=True)
    maps = (weights * features).sum(1).relu().detach()
    highest = maps.amax((1, 2), keepdim=True)
    return np.asarray((maps / highest.where(highest > 0, 1)).cpu().numpy(), dtype=np.float32)


def _last_map(executed: list[torch.Tensor]) -> torch.Tensor | None:
    """Return the feature map (n, channels, rows, columns) before the pooling, out of all outputs in their order.

    Going back from the end, only features (n, width) and maps of a single cell may stand before it. Anything else is
    no picture any more: tokens (n, tokens, width), or channels that come last.
    """
    for output in reversed(executed):
        single = output.ndim == 4 and 1 in output.shape[2:]
        if output.ndim == 2 or single:
            continue
        square = output.ndim == 4 and output.shape[2] == output.shape[3]
        return output if square else None
    return None
