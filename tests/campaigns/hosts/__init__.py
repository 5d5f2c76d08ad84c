"""The real agent hosts against a model that makes scripted calls.

`programs` says how each host is installed, configured and run; `fake_model` is the model; `world` is a home and a
project of their own for one host; `scenarios` are the steps and what must be true after each; `run` is the program.
"""
