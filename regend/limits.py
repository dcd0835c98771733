"""Every bound of the program, in one place, each with its reason.

Bounds that a person may want to change live in `config`; these are the ones that keep memory,
disk and time finite whatever the input.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# Store
INLINE_PAYLOAD_BYTES = 32 * KIB  # larger payloads become blob files: rows stay a few pages long
WRITE_QUEUE_LENGTH = 20_000  # operations waiting for the writer; about 3 s of work at full speed
WRITE_BATCH_LENGTH = 512  # operations to one COMMIT: bounds how long the first of them waits
WRITES_OVERTAKING = 16  # COMMITs that go before an operation that may wait
VOLATILE_FLUSH_S = 0.03  # streamed tokens wait this long at most for a COMMIT of their own
SCHEMA_BYTES = 64 * KIB  # of a JSON Schema that a model is to follow
SCHEMA_NODES = 1000
SCHEMA_REPETITIONS = 2000  # each is a rule of a grammar in the model host's memory
SCHEMA_SKIPS = 64  # parts in a row that may be left out: 60 take a second, 200 take minutes
MAX_JSON_DEPTH = 100  # deeper input is refused before a recursive parser meets it
MAX_INTEGER = 2**63 - 1  # SQLite's and most clients' largest

# Requests
MAX_BODY_BYTES = 16 * MIB  # JSON bodies; uploads have their own bound in the configuration
STRANGERS_BODY_BYTES = 4 * KIB  # of a call that needs no token: any program here can make it
MAX_JOB_INPUT_BYTES = 8 * MIB
MAX_TITLE_CHARACTERS = 300
MAX_PAGE_LENGTH = 1000
DEFAULT_PAGE_LENGTH = 50
IDEMPOTENCY_KEY_CHARACTERS = 255
COMMAND_KEYS = 100_000  # kept of commands that were carried out: some 20 MB
COMMAND_KEYS_DAYS = 7.0  # a browser's tab may sleep for so long and then send its command again
THREADED_BODY_BYTES = 256 * KIB  # parsing a larger body would hold up everybody else
MAX_CONNECTIONS = 16_384
FILES_KEPT_FREE = 256  # of those that the system lets a process open: for workers, models, payloads
HEAD_TIMEOUT_S = 15.0  # from connecting to the end of the first request's head
MAX_LINE_BYTES = 64 * KIB  # of a request: 4000 characters of Hindi in a query are 36 KB
MULTIPART_HEADS_BYTES = 16 * KIB  # of an upload: what is around its parts, names among it
BODY_TIMEOUT_S = 60.0  # for a JSON body, and between two pieces of an upload
KEEP_ALIVE_S = 75.0  # for the next whole head on a connection that served one
ANSWER_STALL_S = 30.0  # a connection that takes nothing for so long is cut
LARGE_ANSWER_BYTES = 1 * MIB  # larger ones are counted while they wait for their readers
WAITING_ANSWERS_BYTES = 128 * MIB  # about two of the longest documents

# Jobs
MAX_STEPS = 10_000  # a job that runs more is looping
STEP_NAME_CHARACTERS = 300
TOLD_RESULTS_CHARACTERS = 4 * MIB  # of finished steps at the beginning; others are asked for
MAX_STEP_RESULT_BYTES = 64 * MIB
MAX_PRIORITY = 100  # either way from 0
MAX_ATTEMPTS = 100
SEED_BITS = 31  # what model hosts take
MODEL_NAME_CHARACTERS = 300
QUESTION_CHARACTERS = 4000
MAX_EVENT_DATA_BYTES = 256 * KIB  # a longer chunk is split, a longer payload becomes a blob
CHUNK_CHARACTERS = MAX_EVENT_DATA_BYTES // 8  # escapes and UTF-8 take up to six bytes each
MAX_SHOWN_BYTES = 8 * MIB  # of an unfinished step's text, told to the next attempt at it
MAX_OPEN_CALLS = 64  # of one worker to the daemon's services; it is read no further meanwhile
MAX_FRAME_BYTES = 80 * MIB  # worker frames: a step result and its envelope
HEARTBEAT_INTERVAL_S = 5.0
CANCEL_TERMINATE_S = 0.5  # after asking
CANCEL_KILL_S = 1.5  # after asking; the promise to the user is 2 s
MAX_WORKER_STDERR_BYTES = 64 * KIB  # kept for the error report of a worker that died

# Streams
TAIL_EVENTS = 8192  # newest events kept in memory for clients at the live end
TAIL_BYTES = 8 * MIB
CLIENT_BUFFER_BYTES = 4 * MIB  # unread by a client: it is caught up later, or closed
CLIENT_STALL_S = 5.0
STREAM_JOBS = 1500  # single jobs that one stream follows: as many as fit into a hello
CLIENT_FRAME_BYTES = 64 * KIB  # from a client; commands are small
CATCH_UP_PAGE_LENGTH = 500
EVENTS_PAGE_BYTES = 1 * MIB  # events are read, framed and sent about so many at a time
EVENTS_PER_FRAME = 256
CLIENT_COMMANDS_PER_S = 50.0  # sustained
CLIENT_COMMANDS_BURST = 500
HEARTBEAT_COMMENT_S = 15.0

# Library
MAX_PASSAGE_CHARACTERS = 1200
MAX_DOCUMENT_CHARACTERS = 20_000_000
IMPORTS_AT_ONCE = 32  # documents in hand, each of which is whole in memory
IMPORT_BYTES_AT_ONCE = 256 * MIB  # of them together; one alone may be as large as is configured
EXTRACTIONS_WAITING = 64  # for one of the children; more callers are turned away
EXTRACT_TIMEOUT_S = 60.0
EXTRACT_MEMORY_BYTES = 1024 * MIB
FETCH_TIMEOUT_S = 20.0
FETCH_BYTES = 10 * MIB
FETCH_REDIRECTS = 5

# Models
SEGMENT_TOKENS = 8  # one request to the model host; its start seeds the sampler, so it is fixed
CHECKPOINT_COST_SHARE = 0.03  # of decoding time
MODEL_START_TIMEOUT_S = 120.0
MODEL_DISK_RESERVE_BYTES = 128 * MIB  # stays free after a pull: the store must go on
MODEL_SMALL_CONTEXT_TOKENS = 4096  # of a slot: a small model loses the thread long before
MODEL_LEAST_CONTEXT_TOKENS = 2048  # a slot shrinks no further to fit into memory
MODEL_STDERR_BYTES = 16 * KIB  # kept of a model host for the report of its death
PROVIDER_TIMEOUT_S = 1.0  # for a connected server to list its models
PROVIDER_CACHE_S = 30.0
PROVIDER_ANSWER_BYTES = 4 * MIB
PROVIDER_MODELS = 1000  # of one connected server
SLOT_STOP_S = 1.0  # a slot whose stream was closed stops at the end of its batch
HOST_SILENT_S = 30.0  # of a host with users, after a lease was given back; a batch takes less
HOST_ALONE_S = 0.5  # that one user has a host after the last died under several; then doubled
SCHEMA_SILENT_S = 60.0  # between two tokens under a schema; a batch of others takes less
HOST_ANSWER_BYTES = 64 * KIB
ALTERNATIVES_TO_A_TOKEN = 20  # as in OpenAI's own; a vocabulary of them is 5 MB to each token
SERVER_LINE_BYTES = 8 * MIB  # of a streamed answer; servers send a few tokens to a line
ANSWER_CHARACTERS = 4 * MIB  # of a server that keeps to no bound; the longest contexts hold less
HOST_MEMORY_LOOK_S = 2.0  # between two looks at what a model host holds; a look takes microseconds
HOST_MEMORY_MUCH = 1.5  # times its plan, and the margin: it leaks, and ends when nobody uses it
HOST_MEMORY_MARGIN_BYTES = 512 * MIB  # plans of small models are estimates of little
HOST_MEMORY_MOST = 3.0  # times its plan: it ends at once, before the machine swaps
HOST_CONNECT_TIMEOUT_S = 5.0  # a model host on loopback that does not accept is dead
DOWNLOAD_CHUNK_BYTES = 1 * MIB
PART_KEEP_S = 7 * 24 * 3600.0  # of a download that broke off; nobody who waits so long goes on

# Mesh
MAX_CHANGE_BYTES = 512 * KIB  # the largest event, or a row with its inline payloads, and more
FRAME_CHANGES = 256  # to one signature: verifying bounds how fast a new device catches up
SYNC_FRAME_BYTES = 1 * MIB  # of changes in one frame, before compression
SYNC_MESSAGE_BYTES = 512 * KIB  # of frames in one message, about: what follows waits for little
TAKE_IN_S = 0.005  # of the store's writer, about, before what is written here has its turn
EXCHANGE_WINDOW_BYTES = 8 * MIB  # sent to a device and not yet durable there, or left out
INVITER_LOOK_S = 10.0  # for a device that shows a code to be found on the network
BASE_WAIT_S = 8.0  # a job that moved waits so long for its model's saved state, then does without
CLOCKS_DIFFER_S = 1800.0  # between two devices, worth telling: a wrong zone, a wrong day
DOCUMENTS_WAIT_S = 20.0  # a job that moved waits so long for its library before it searches
OWED_TO_DEVICE = 64  # pieces, and calls, that another device asked for and has not got yet
CALL_TIMEOUT_S = 20.0  # for another device to do what it is asked; a worker stops within seconds
SENDING_KEPT_S = 600.0  # what a device was getting is kept so long for its next link
PIECES_AHEAD = 4  # of a payload, asked for before the first has come: the line is kept full
PAYLOAD_AGAIN_FIRST_S = 5.0  # a device that had not a payload is asked for it again: it may get it
PAYLOAD_AGAIN_LAST_S = 600.0  # the wait doubles up to this, however many there are
PAYLOADS_LEAVE_BYTES = 8 * MIB  # free on the smallest disk, for the rows that tell what happened
PAYLOADS_LEAVE_MOST_BYTES = 256 * MIB  # of a larger one a twentieth, up to this: others write too
PARKED_BYTES = 64 * MIB  # of one log's other history; who wrote it has it, and sends it again
BLOB_CHUNK_BYTES = 256 * KIB  # of a payload between devices: small beside a live event's wait
PRESENCE_EVENTS = 2000  # kept of devices that came and went: hours of links that do nothing else
PACKING_S = 600.0  # between two looks for own changes that another device has by now
MAX_MESH_LOGS = 4096  # devices and their incarnations, a lifetime of them
DEVICE_LOGS = 256  # lives of one home; whoever revokes it must name them all in one entry

# Mesh: links and discovery
LINK_MESSAGE_BYTES = 2 * MIB  # a frame of changes and its envelope, or several pieces of a payload
LINK_PIECE_BYTES = 64 * KIB  # each that arrives shows that the other side lives, on slow links too
LINK_WINDOW_BYTES = 2 * LINK_MESSAGE_BYTES  # sent and not taken there: one more always fits
LINK_SILENCE_S = 10.0  # nothing was heard for so long: the other side is gone
LINK_CONNECT_S = 5.0
LINK_CLOSE_S = 2.0  # for what was accepted to leave, and again for the other side's goodbye
LINKS = 64  # at a time: a person's devices, and some that come back before they are missed
STRANGERS = 64  # connections that have not shown yet who they are
STRANGERS_PER_ADDRESS = 8  # of them: one program alone must not turn everybody else away
GREETINGS_PER_S = 200  # of connections, by TLS: each takes half a millisecond
GREETINGS_AT_ONCE = 50  # of them before that: all of a person's devices, as the network comes back
STRANGER_S = 5.0  # from connecting to the end of the request's head
PAIRING_MESSAGE_BYTES = 64 * KIB  # from who has proved nothing yet
WELCOME_MESSAGE_BYTES = 2 * MIB + 64 * KIB  # to a newcomer: the whole roster
ROSTER_ENTRIES = (
    2000  # a lifetime of devices; evaluated in 0.1 s, and in seconds where made for that
)
ROSTER_SPARE = 32  # of each member, though the roster is full: it must be able to revoke others
PAIRING_S = 30.0  # all of it; nobody types meanwhile
PAIRINGS = 8
SIGHTINGS = 256  # devices seen on the network; a network with more is forged
SIGHTING_ADDRESSES = 16  # of one device
MDNS_RECORDS = 20_000  # heard of devices until it is asked anew: what is kept of them grows
MDNS_ASK_S = 60.0  # between two questions who is there: one answer may be lost, or a goodbye forged
DIAL_ADDRESSES = 16  # tried in turn for a device: anybody may announce places for it
INTERFACES_LOOK_S = 3.0  # between two looks at the network interfaces; a look takes microseconds
INTERFACES_TRY_S = 60.0  # between two tries whether what works still does

# Stream clients (regend.client and regend/web/client.js)
STREAM_BACKOFF_FIRST_S = 0.25
STREAM_BACKOFF_LAST_S = 10.0
STREAM_CONNECT_TIMEOUT_S = 10.0  # to open, and again for the answer to hello
STREAM_SETTLED_S = 10.0  # a connection that lived this long forgets earlier failures
STREAM_FLOOD_WAIT_S = 5.0  # least wait after 4429: the daemon's allowance must refill
STREAM_LONGEST_WAIT_S = 60.0  # longest wait that a daemon may ask for
STREAM_COMMANDS = 1000  # unanswered commands kept; more are refused to the caller
STREAM_COMMANDS_IN_FLIGHT = 32
STREAM_COMMANDS_BURST = 100.0  # a fifth of what the daemon takes
STREAM_COMMANDS_PER_S = 40.0  # under CLIENT_COMMANDS_PER_S, so that a polite client never floods
STREAM_BUFFER_BYTES = 4 * MIB  # received and not yet read by the program; then reading stops
STREAM_FRAME_BYTES = 80 * MIB  # EVENTS_PER_FRAME of the largest events, and their envelope
STREAM_VIOLATIONS = 5  # broken frames or refusals in a row, without progress, before giving up
