"""How agents work together: lineups and prompts, investigation, cross-examination, judgement."""
