"""The learned filter of the paper's appendix C-A: which coins look like those that groups pump, from what was known before the pump."""
