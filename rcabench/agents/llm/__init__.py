"""Agents that a language model drives; the only package that imports AutoGen.

team            the diagnoser: a team of agents on one incident
teamwork/       lineups and prompts, investigation, cross-examination, judgement
openrca/        OpenRCA's baselines: prompting, and its RCA-agent
tools/          what agents can ask the telemetry, and answers as text
talk/           one agent and its model: loop, answers, limits, tape
models/         which models there are, how they are reached, what can go wrong
tracing/        what agents do, as spans
redaction, text nothing secret, nothing unspeakable

Each imports only from what stands below it.
"""
