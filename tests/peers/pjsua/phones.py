"""Two phones of pjsua2, alice and bob, on one null sound device.

Plays one scenario and prints what it saw as one JSON object. It judges nothing: the Rust test beside it does. Both phones
live in one process, so that one clock paces both and a recording can be compared with what was played sample by sample;
they still speak through their own sockets and know nothing of each other.
"""

import argparse
import json
import os
import sys
import time

import pjsua2 as pj

LIMIT_S = 15


class Call(pj.Call):
    """A call that answers at once when it is the called one, and keeps its audio port at hand."""

    def __init__(self, phone, call_id=pj.PJSUA_INVALID_ID):
        super().__init__(phone, call_id)
        self.phone = phone
        self.digits = []
        self.state = None
        self.code = 0
        self.player = None
        # Where re-INVITEs came from that were answered with 200.
        self.moved = []

    def onCallTsxState(self, prm):
        changed = prm.e.body.tsxState
        transaction = changed.tsx
        is_answered = transaction.method == "INVITE" and transaction.statusCode == 200
        if self.confirmed() and transaction.role == pj.PJSIP_ROLE_UAS and is_answered and \
                transaction.state in (pj.PJSIP_TSX_STATE_COMPLETED, pj.PJSIP_TSX_STATE_TERMINATED) and \
                changed.type == pj.PJSIP_EVENT_TX_MSG:
            message = changed.src.tdata
            self.moved.append(message.dstAddress)

    def onCallMediaState(self, prm):
        # New media knows nothing of who spoke into the former.
        if self.player and self.media_status() == pj.PJSUA_CALL_MEDIA_ACTIVE:
            self.player.startTransmit(self.audio())

    def onCallState(self, prm):
        info = self.getInfo()
        self.state = info.state
        self.code = info.lastStatusCode

    def onDtmfDigit(self, prm):
        self.digits.append(prm.digit)

    def confirmed(self):
        return self.state == pj.PJSIP_INV_STATE_CONFIRMED

    def ended(self):
        return self.state == pj.PJSIP_INV_STATE_DISCONNECTED

    def media_status(self):
        # Each name keeps its native object alive while a part of it is read.
        info = self.getInfo()
        media = info.media
        return media[0].status if len(media) else pj.PJSUA_CALL_MEDIA_NONE

    def packets_heard(self):
        statistics = self.getStreamStat(0)
        rtcp = statistics.rtcp
        received = rtcp.rxStat
        return received.pkt

    def audio(self):
        return self.getAudioMedia(-1)


class Phone(pj.Account):
    """A phone line. It answers every call; the test finds the call in `calls`."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.calls = []
        self.registered = None
        self.codes = []

    def onRegState(self, prm):
        self.registered = self.getInfo().regIsActive
        self.codes.append(int(prm.code))

    def onIncomingCall(self, prm):
        call = Call(self, prm.callId)
        self.calls.append(call)
        answer = pj.CallOpParam()
        answer.statusCode = 180
        call.answer(answer)
        answer.statusCode = 200
        call.answer(answer)


class Stage:
    """The endpoint, the two phones, and waiting."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.userAgent = "pjsua2"
        config.medConfig.clockRate = 8000
        config.medConfig.sndClockRate = 8000
        config.medConfig.channelCount = 1
        config.medConfig.noVad = True
        config.medConfig.ecTailLen = 0
        config.medConfig.quality = 4
        config.logConfig.consoleLevel = 0
        config.logConfig.level = 5
        config.logConfig.filename = os.path.join(arguments.dir, "pjsua.log")
        self.endpoint.libInit(config)
        self.endpoint.audDevManager().setNullDev()
        self.phones = {}
        transports = {}
        for name, address in (("alice", arguments.alice), ("bob", arguments.bob)):
            transport = pj.TransportConfig()
            transport.port = 5060
            transport.boundAddress = address
            transports[name] = self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.endpoint.libStart()
        for codec in self.endpoint.codecEnum2():
            self.endpoint.codecSetPriority(codec.codecId, 0)
        self.endpoint.codecSetPriority(arguments.codec + "/8000", 200)
        for name, address in (("alice", arguments.alice), ("bob", arguments.bob)):
            self.phones[name] = self.phone(name, address, transports[name])

    def phone(self, name, address, transport):
        config = pj.AccountConfig()
        config.sipConfig.transportId = transport
        config.mediaConfig.transportConfig.boundAddress = address
        config.mediaConfig.transportConfig.port = 4000
        if self.arguments.node:
            config.idUri = "sip:%s@%s" % (name, self.arguments.node)
            config.regConfig.registrarUri = "sip:" + self.arguments.node
            config.regConfig.timeoutSec = 300
            secret = self.arguments.wrong_password or name + "-secret"
            config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", name, 0, secret))
        else:
            config.idUri = "sip:%s@%s" % (name, address)
        phone = Phone(name)
        phone.create(config)
        return phone

    def run(self, seconds):
        """Lets the phones work for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.endpoint.libHandleEvents(10)

    def until(self, what, condition):
        """Lets the phones work until the condition holds."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("waited %d s for: %s" % (LIMIT_S, what))
            self.endpoint.libHandleEvents(10)

    def register(self):
        if self.arguments.node:
            for phone in self.phones.values():
                self.until(phone.name + " has a final answer to REGISTER",
                           lambda: phone.registered or (phone.codes and phone.codes[-1] >= 400))

    def target(self, name):
        if self.arguments.node:
            number = {"alice": self.arguments.alice_number, "bob": self.arguments.bob_number}[name]
            return "sip:%s@%s" % (number, self.arguments.node)
        return "sip:%s@%s" % (name, getattr(self.arguments, name))

    def connect(self, caller, callee):
        """A call from one phone to the other, up and with audio on both sides."""
        before = len(self.phones[callee].calls)
        ours = Call(self.phones[caller])
        parameters = pj.CallOpParam(True)
        ours.makeCall(self.target(callee), parameters)
        self.until("%s is connected with %s" % (caller, callee),
                   lambda: ours.ended() or (ours.confirmed() and len(self.phones[callee].calls) > before
                                            and self.phones[callee].calls[-1].confirmed()))
        if ours.ended():
            raise RuntimeError("%s → %s ended with %d" % (caller, callee, ours.code))
        theirs = self.phones[callee].calls[-1]
        active = pj.PJSUA_CALL_MEDIA_ACTIVE
        self.until("audio on both sides",
                   lambda: ours.media_status() == active and theirs.media_status() == active)
        return ours, theirs

    def file(self, name):
        return os.path.join(self.arguments.dir, name + ".wav")

    def hang_up(self, ours, theirs):
        ours.hangup(pj.CallOpParam())
        self.until("both sides have ended", lambda: ours.ended() and theirs.ended())

    def play(self, name, call):
        player = pj.AudioMediaPlayer()
        player.createPlayer(self.file(name))
        player.startTransmit(call.audio())
        return player

    def record(self, name, call, seconds):
        """Records what a call hears for a while."""
        recorders = []
        for file, source in zip(name, call):
            recorder = pj.AudioMediaRecorder()
            recorder.createRecorder(self.file(file))
            source.audio().startTransmit(recorder)
            recorders.append((source, recorder))
        self.run(seconds)
        for source, recorder in recorders:
            source.audio().stopTransmit(recorder)
        del recorders


def register(stage):
    return {}


def talk(stage):
    """Each phone calls the other once; both talk at the same time and are recorded."""
    for caller, callee in (("alice", "bob"), ("bob", "alice")):
        ours, theirs = stage.connect(caller, callee)
        players = [stage.play("spoken-by-caller", ours), stage.play("spoken-by-callee", theirs)]
        stage.record(("heard-by-%s-called-by-%s" % (callee, caller), "heard-by-%s-calling-%s" % (caller, callee)),
                     (theirs, ours), 5)
        del players
        stage.hang_up(ours, theirs)
    return {}


def hold(stage):
    """A call is put on hold and taken back; each phase is recorded on both sides."""
    ours, theirs = stage.connect("alice", "bob")
    player = stage.play("spoken-by-caller", ours)
    other = stage.play("spoken-by-callee", theirs)
    stage.record(("bob-before", "alice-before"), (theirs, ours), 2)
    ours.setHold(pj.CallOpParam(True))
    stage.until("bob is held", lambda: theirs.media_status() in
                (pj.PJSUA_CALL_MEDIA_REMOTE_HOLD, pj.PJSUA_CALL_MEDIA_NONE))
    held = int(theirs.media_status())
    stage.until("alice's own hold is done", lambda: ours.media_status() == pj.PJSUA_CALL_MEDIA_LOCAL_HOLD)
    stage.run(0.2)
    before = theirs.packets_heard(), ours.packets_heard()
    stage.run(2)
    after = theirs.packets_heard(), ours.packets_heard()
    parameters = pj.CallOpParam(True)
    parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
    ours.reinvite(parameters)
    active = pj.PJSUA_CALL_MEDIA_ACTIVE
    stage.until("the call is taken back",
                lambda: ours.media_status() == active and theirs.media_status() == active)
    player.startTransmit(ours.audio())
    other.startTransmit(theirs.audio())
    stage.record(("bob-after", "alice-after"), (theirs, ours), 2)
    del player, other
    stage.hang_up(ours, theirs)
    return {"held_status": held, "packets_while_held": [b - a for a, b in zip(before, after)]}


def digits(stage):
    """DTMF in the audio stream by RFC 4733, then by INFO, in both directions."""
    ours, theirs = stage.connect("alice", "bob")
    # Without anything to play, nothing starts the clock of the null sound device, and no RTP leaves.
    players = [stage.play("spoken-by-caller", ours), stage.play("spoken-by-callee", theirs)]
    stage.run(1)
    sent = {"rfc4733": "159#", "info": "27*"}
    for call in (ours, theirs):
        call.dialDtmf(sent["rfc4733"])
        stage.run(2.5)
    heard_rfc = ["".join(theirs.digits), "".join(ours.digits)]
    ours.digits.clear()
    theirs.digits.clear()
    for call in (ours, theirs):
        parameters = pj.CallSendDtmfParam()
        parameters.method = pj.PJSUA_DTMF_METHOD_SIP_INFO
        parameters.digits = sent["info"]
        call.sendDtmf(parameters)
        stage.run(1.5)
    heard_info = ["".join(theirs.digits), "".join(ours.digits)]
    del players
    stage.hang_up(ours, theirs)
    return {"sent": sent, "heard_rfc4733": heard_rfc, "heard_info": heard_info}


def called(stage):
    """Alice is called by somebody else, who ends the call."""
    alice = stage.phones["alice"]
    stage.until("alice is called", lambda: alice.calls and alice.calls[-1].confirmed())
    stage.until("the call has ended", alice.calls[-1].ended)
    return {}


def transferred(stage):
    """Alice is called by somebody who transfers her to bob; the two talk, and she hangs up."""
    alice, bob = stage.phones["alice"], stage.phones["bob"]
    stage.until("alice is called", lambda: alice.calls and alice.calls[-1].confirmed())
    stage.until("bob is called", lambda: bob.calls and bob.calls[-1].confirmed())
    ours, theirs = alice.calls[-1], bob.calls[-1]
    active = pj.PJSUA_CALL_MEDIA_ACTIVE
    # Alice hears by re-INVITE whom she was joined with; what was connected to her media before would be lost.
    stage.run(1)
    stage.until("audio on both sides",
                lambda: ours.media_status() == active and theirs.media_status() == active)
    players = [stage.play("spoken-by-caller", ours), stage.play("spoken-by-callee", theirs)]
    stage.record(("heard-by-alice", "heard-by-bob"), (ours, theirs), 4)
    del players
    stage.hang_up(ours, theirs)
    return {}


class Ear:
    """Notes when packets come to a call, as near as the phones are asked."""

    def __init__(self, call):
        self.call = call
        self.count = None
        self.last = time.monotonic()
        self.pause = 0
        self.moved_and_heard = False

    def look(self):
        now = time.monotonic()
        try:
            count = self.call.packets_heard()
        except pj.Error:
            return
        # A new stream counts from the start again.
        if count and count != self.count:
            self.pause = max(self.pause, now - self.last)
            self.last = now
            self.moved_and_heard = bool(self.call.moved)
        self.count = count


def outlive(stage):
    """Each phone calls the other; somebody kills the node when we say that we are up; the calls go on, and one is ended by
    its caller, the other one by its callee."""
    calls = {}
    for caller, callee in (("alice", "bob"), ("bob", "alice")):
        calls[caller] = stage.connect(caller, callee)
        for call, name in zip(calls[caller], ("spoken-by-caller", "spoken-by-callee")):
            call.player = stage.play(name, call)
    ears = [Ear(call) for pair in calls.values() for call in pair]
    stage.until("all hear each other", lambda: all(ear.call.packets_heard() > 50 for ear in ears))
    print("up")

    def moved():
        for ear in ears:
            ear.look()
            if ear.call.ended():
                raise RuntimeError("a call ended with %d" % ear.call.code)
        return all(ear.moved_and_heard for ear in ears)

    stage.until("another node goes on with all calls, and all hear each other", moved)
    for (caller, callee) in (("alice", "bob"), ("bob", "alice")):
        ours, theirs = calls[caller]
        stage.record(("heard-by-%s-called-by-%s" % (callee, caller), "heard-by-%s-calling-%s" % (caller, callee)),
                     (theirs, ours), 3)
    for ours, theirs in (calls["alice"], calls["bob"][::-1]):
        if ours.ended() or theirs.ended():
            raise RuntimeError("a call ended after it had moved, with %d" % ours.code)
        stage.hang_up(ours, theirs)
    return {"moved_to": sorted({to for ear in ears for to in ear.call.moved}),
            "moved": [len(ear.call.moved) for ear in ears],
            "pause_ms": [int(1000 * ear.pause) for ear in ears]}


SCENARIOS = {"register": register, "talk": talk, "hold": hold, "digits": digits, "called": called,
             "transferred": transferred, "outlive": outlive}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--alice", required=True)
    parser.add_argument("--bob", required=True)
    parser.add_argument("--node", default="")
    parser.add_argument("--alice-number", default="")
    parser.add_argument("--bob-number", default="")
    parser.add_argument("--wrong-password", default="")
    parser.add_argument("--codec", default="PCMU")
    arguments = parser.parse_args()
    stage = Stage(arguments)
    stage.register()
    result = {"registration": {name: phone.codes for name, phone in stage.phones.items()}}
    try:
        result.update(SCENARIOS[arguments.scenario](stage))
    except (TimeoutError, RuntimeError, pj.Error) as error:
        result["error"] = error.info() if isinstance(error, pj.Error) else str(error)
    print(json.dumps(result))
    sys.stdout.flush()
    stage.endpoint.libDestroy()
    # The interpreter would free native objects in an order that the library does not survive.
    os._exit(0)


main()
