"""OpenRCA's baselines with a language model, written anew from the paper's description."""
