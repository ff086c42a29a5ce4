"""What things that run a graph share: the executor, and kernels written once against a namespace `xp`."""
