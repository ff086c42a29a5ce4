"""Training: losses and optimizers as graphs, the step as a model, the loop around it.

step = graphir.training.step(model, loss="cross_entropy", optimizer=graphir.training.adam(0.001))
program = graphir.compile(step)
program.run({"x": x, "y": y})                        # the loss and the accuracy; the weights have moved
trained = graphir.training.apply(model, program.state)
"""

from .loop import Progress, Result, fit
from .losses import binary_cross_entropy, cross_entropy, mean_squared_error
from .names import Names, names
from .optimizers import adam, sgd
from .step import apply, flat, step

__all__ = [
    "Names", "Progress", "Result", "adam", "apply", "binary_cross_entropy", "cross_entropy", "fit", "flat", "mean_squared_error", "names", "sgd", "step",
]  # fmt: skip
