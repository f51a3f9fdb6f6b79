"""The vocabulary: plain, frozen values that every other layer speaks in; standard library only."""
