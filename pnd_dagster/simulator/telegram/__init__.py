"""A Telegram on 127.0.0.1 that the real Telethon talks to, for demos and tests of the live path.

It speaks MTProto 2.0 over TCP to clients whose session file `sessions.make_session` wrote: they are logged in with a key that the server
knows, so there is neither login nor handshake. What it cannot do is answered with an error and counted in `unknown`.

In an event loop, as tests use it:

    async with SimulatedTelegram([ChannelInfo(1001, "Rocket Room", "rocket_room")]) as telegram:
        make_session(path, telegram.port)
        message_id = telegram.post(1001, "the next pump is at 17:00")

In a process of its own, as the demo uses it; `history` is a folder that `telegram_channels.write_simulation` wrote, if there is one:

    with serve_in_process(channels, history=folder) as telegram:
        telegram.make_sessions(settings.telegram_session_file)
        telegram.control("post", channel_id=1001, text="the next pump is at 17:00")

`pnd listen` finds its way there with `PND_TELEGRAM_SESSION_FILE` as given to `make_sessions` (outside of any git checkout), any positive
number as `PND_TELEGRAM_API_ID` and any text as `PND_TELEGRAM_API_HASH`: address, port and key all stand in the session file, which is
therefore written anew whenever the port changes. History runs use the file beside it, `<name>-history.session`.

The listener follows the rows of raw.telegram_channels whose status is "validated" and which have not vanished. Insert them with channel_id,
username (by which the channel is found where the session has not seen it), found_via, status, is_vanished and discovered_at before it
starts, or run `pnd channels validate ID ...` for rows that are there; a running listener looks for new ones every five seconds.

The server forgets everything when it ends: counts and message ids begin anew. A demo that keeps its database gives its live channels new
ids at every start, or loads the same `history` into channels in which it posts nothing.

Dates are whole seconds, as Telegram's are; the ledger holds the exact time of each post.
"""
