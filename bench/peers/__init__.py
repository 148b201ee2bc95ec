"""The peers, run by ``bench/.venv``'s own Python: they never share an environment with affidavit.

``python -m bench.peers.run PEER FOLDER`` reads what ``bench.corpus.hand_over`` wrote and prints one JSON object.
"""
