// The mirror worker of a database: main function and loop. Everything it does, it does here in turn: WAL tail, leases,
// intents and requests, operations, answers, watch events and reports, compares, care of what is on record. It sleeps
// in one place.
#include "bgworker/actuation/actuator.hpp"
#include "bgworker/actuation/announcer.hpp"
#include "bgworker/actuation/leases.hpp"
#include "bgworker/change_feed/wal_tail.hpp"
#include "bgworker/housekeeping.hpp"
#include "bgworker/launcher/companions.hpp"
#include "bgworker/operation/operations.hpp"
#include "bgworker/record_room.hpp"
#include "bgworker/report/compare.hpp"
#include "bgworker/watch/watcher.hpp"
#include "bgworker/worker_process.hpp"
#include "kubernetes/transport/transport.hpp"
#include "mirror/store/catalog.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

#include <algorithm>
#include <malloc.h>
#include <utility>

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace dbnet::bgworker {
namespace {

// What DDL does to mirrors' tables, schemas, servers, user mappings and roles reaches the worker as cache
// invalidations, at the start of a transaction and later than its commit: whether there was one since the last load.
const mirror::Catalog *loaded_catalog = nullptr;
bool has_catalog_changed = false;

void note_table(Datum, Oid relation) noexcept {
    has_catalog_changed |= relation == InvalidOid || (loaded_catalog && loaded_catalog->find(relation));
}

void note_other(Datum, int, uint32) noexcept {
    has_catalog_changed = true;
}

constexpr size_t commits_at_once = 256;
constexpr int64_t flush_ms =
    50; // what a crash of the server may lose of answers while many requests or events are under way
constexpr int64_t longest_sleep_ms = 1000; // others' WAL is passed over before it is recycled
constexpr int64_t look_ms = 1000;
constexpr int reconnect_first = 3; // of backoff_ms(): 0.8 s

kubernetes::TransportLimits transport_limits() {
    kubernetes::TransportLimits limits;
    limits.requests_in_flight = 4 * static_cast<size_t>(settings::requests_in_flight); // the actuator counts itself
    return limits;
}

capture::Cookie cookie() {
    capture::Cookie cookie;
    const auto &shared = pg::require_shared().cookie;
    std::copy(std::begin(shared), std::end(shared), cookie.begin());
    return cookie;
}

class MirrorWorker : ActuatorClient, WatcherClient, LeaseClient {
public:
    explicit MirrorWorker(WorkerProcess &process)
        : process_(process), transport_(transport_limits()), tail_(cookie()),
          watcher_(transport_, *this, *pg::find_counters(process.database())), leases_(transport_, *this),
          actuator_(transport_, *this),
          announcer_(
              transport_, *pg::find_counters(process.database()),
              [this](const mirror::Mirror &mirror) {
                  return mirror.settings.manage && actuator_.closed_reason(mirror).empty();
              },
              [this](const std::string &message) { note_error(message); }),
          operations_(transport_, actuator_, [this](const std::string &message) { note_error(message); }),
          compare_(actuator_, *this), housekeeping_([this](const std::string &message) { note_error(message); }),
          record_room_([this](const std::string &message) { note_error(message); }) {}

    ~MirrorWorker() { loaded_catalog = nullptr; }

    [[noreturn]] void run() {
        // First the position from which changes are seen one by one, then the compare of what came before.
        tail_.start();
        load();
        while (true) {
            const bool more = turn();
            if (process_.wait(transport_.descriptor(), more ? 0 : timeout_ms())) {
                configure();                // dbnet.actuate may have changed
                has_catalog_changed = true; // and dbnet.exec_plugins
                housekeeping_.hurry();
            }
        }
    }

private:
    bool turn() {
        const bool more = feed();
        publish();
        transport_.run();
        leases_.turn();
        actuator_.turn(); // before the watcher: what was committed goes out first
        operations_.turn();
        watcher_.turn();
        announcer_.turn();
        if (watcher_.take_configuration_changed())
            load();
        const bool comparing = compare_.step();
        if (std::exchange(was_comparing_, comparing) && !comparing)
            malloc_trim(0); // the peak of a compare would be held until the next one
        if (next_compare_ms_ <= monotonic_ms())
            compare_.request_all(false), next_compare_ms_ = compare_due_ms();
        reconnect();
        housekeeping_.turn(monotonic_ms());
        record_room_.turn(monotonic_ms());
        transport_.run();
        publish();
        flush();
        return more || comparing;
    }

    // Commits of this process do not wait for the disk, so that requests flow on; the disk is waited for here, once for
    // many of them, and at once when nothing is under way.
    void flush() {
        const bool is_busy = !actuator_.is_idle() || watcher_.timeout_ms() == 0;
        if (XactLastCommitEnd == flushed_ || (is_busy && monotonic_ms() - flushed_ms_ < flush_ms))
            return;
        flushed_ = XactLastCommitEnd;
        pg::call([this] { XLogFlush(flushed_); });
        flushed_ms_ = monotonic_ms();
    }

    // Takes what has been committed. True: there is more at once.
    bool feed() {
        const uint64_t configuration = pg_atomic_read_u64(&process_.slot().configuration);
        if (configuration != configuration_ || has_catalog_changed)
            load();
        commits_.clear();
        const WalTail::Progress progress =
            tail_.poll(commits_, commits_at_once, pg_atomic_read_u64(&process_.slot().published_lsn));
        if (!commits_.empty())
            see_catalog(); // a privilege that was taken away before does not count for them any more
        for (const Commit &commit : commits_) {
            const auto is_setting = [](const capture::Change &change) { return change.operation == 'S'; };
            if (std::any_of(commit.changes.begin(), commit.changes.end(), is_setting))
                load();
            take(commit);
        }
        if (progress.compare_due)
            take_missed();
        is_behind_ = progress.more;
        return progress.more;
    }

    void take(const Commit &commit) {
        for (const capture::Change &change : commit.changes)
            if (change.operation == 'C') {
                actuator_.note_emptied(change.relation);
                actuator_.forget_committers(change.relation);
                watcher_.resync(change.relation);
                compare_.request(change.relation, true);
            }
        actuator_.take(commit);
        operations_.take(commit);
    }

    // Commits of which nothing is known.
    void take_missed() {
        actuator_.forget_committers({});
        compare_.request_all(true);
        operations_.request_load();
    }

    bool is_behind() override { return is_behind_; }
    bool catch_up() override {
        commits_.clear();
        try {
            const WalTail::Progress progress = tail_.catch_up(commits_);
            for (const Commit &commit : commits_)
                take(commit);
            if (progress.compare_due)
                take_missed();
            if (progress.more)
                return false;
        } catch (...) { // the worker goes on, and does not know what it has taken in
            take_missed();
            throw;
        }
        pg::call([] { AcceptInvalidationMessages(); });
        return !has_catalog_changed;
    }

    void see_catalog() {
        try {
            pg::in_transaction([] {}); // takes in cache invalidations
            if (has_catalog_changed)
                load();
        } catch (const pg::pg_error &) {
            has_catalog_changed = true; // an open DROP EXTENSION or DDL on a mirror: later
        }
    }

    // Once a second: what changed without a commit that the feed tells of. The files that connections are made of may
    // have been replaced, or be there now. Whatever else keeps a server from being used is tried again as well, ever
    // more seldom.
    void reconnect() {
        const int64_t now_ms = monotonic_ms();
        if (now_ms >= next_look_ms_) {
            next_look_ms_ = now_ms + look_ms;
            see_catalog();
            transport_.look_at_files();
            const kubernetes::FileStamps files = kubernetes::look_again(catalog_->files);
            const bool is_complete = files == std::exchange(seen_files_, files); // nobody is writing
            if (is_complete && files != catalog_->files) {
                load();
                hurry();
            }
        }
        if (now_ms >= next_reconnect_ms_) {
            reconnects_++;
            load();
        }
    }

    // Servers that were given up for a while may answer now.
    void hurry() {
        actuator_.hurry();
        watcher_.hurry();
    }

    void load() {
        has_catalog_changed = false;
        const uint64_t configuration = pg_atomic_read_u64(&process_.slot().configuration);
        const bool is_reconfigured = configuration != std::exchange(configuration_, configuration);
        catalog_ = std::make_shared<const mirror::Catalog>(pg::in_transaction([] { return mirror::load_catalog(); }));
        loaded_catalog = catalog_.get();
        configure();
        if (is_reconfigured)
            hurry();
        const bool is_cut_off = std::ranges::any_of(catalog_->mirrors, [](const auto &mirror) {
            return !mirror.second.is_offline && !mirror.second.connection_error.empty();
        });
        reconnects_ = is_cut_off ? reconnects_ : 0;
        next_reconnect_ms_ = is_cut_off ? monotonic_ms() + backoff_ms(reconnect_first + reconnects_, 0.5) : INT64_MAX;
    }

    void configure() {
        leases_.configure(catalog_);
        watcher_.configure(catalog_);
        actuator_.configure(catalog_);
        announcer_.configure(catalog_);
        operations_.configure(catalog_);
        compare_.configure(catalog_);
        pg::want_companions(process_.slot(), wanted_companions());
        next_compare_ms_ = std::min(next_compare_ms_, compare_due_ms()); // a load must not put it off
        if (settings::compare_interval <= 0)
            next_compare_ms_ = INT64_MAX;
    }

    // Of a compare that is due one interval from now.
    static int64_t compare_due_ms() {
        return settings::compare_interval > 0 ? monotonic_ms() + settings::compare_interval * 1000L : INT64_MAX;
    }

    // How far the tail is, and for those who have asked what is not settled yet.
    void publish() {
        pg_atomic_write_u64(&process_.slot().processed_lsn, tail_.position());
        const uint64_t question = pg_atomic_read_u64(&process_.slot().questions);
        if (question == answered_)
            return;
        pg::Progress progress{question, tail_.position(), 0, {}};
        std::map<uint32_t, uint64_t> unsettled = actuator_.untold();
        for (const uint32_t relation : compare_.pending())
            unsettled[relation] = 0;
        for (const auto &[relation, from] : unsettled) {
            if (progress.count < pg::Progress::places) {
                progress.unsettled[progress.count++] = {relation, from};
            } else {
                pg::Unsettled &others = progress.unsettled[pg::Progress::places - 1];
                others = {InvalidOid, std::min(others.from, from)};
            }
        }
        pg::with_shared_lock(pg::require_shared(), [&] { process_.slot().progress = progress; });
        answered_ = question;
    }

    int64_t timeout_ms() const {
        int64_t timeout = std::min(longest_sleep_ms, std::max<int64_t>(next_compare_ms_ - monotonic_ms(), 0));
        if (XactLastCommitEnd != flushed_)
            timeout = std::min(timeout, flush_ms);
        for (const int other : {actuator_.timeout_ms(), operations_.timeout_ms(), watcher_.timeout_ms(),
                                leases_.timeout_ms(), record_room_.timeout_ms(monotonic_ms())})
            if (other >= 0)
                timeout = std::min<int64_t>(timeout, other);
        return timeout;
    }

    // Between actuator and watcher.
    bool has_listed(uint32_t relation) override { return watcher_.has_listed(relation); }
    void answered(const mirror::Key &key, const std::string &resource_version, bool row_may_differ) override {
        watcher_.answered(key, resource_version, row_may_differ);
        operations_.touch(key);
    }
    void await_version(const mirror::Key &key, const std::string &resource_version) override {
        watcher_.await_version(key, resource_version);
    }
    void forget(const mirror::Key &key, const std::string &uid) override { watcher_.forget(key, uid); }
    void look_up(const mirror::Key &key, const std::string &uid) override { watcher_.look_up(key, uid); }
    void restore(const mirror::Key &key, std::shared_ptr<const mirror::RowDigest> rejected) override {
        watcher_.restore(key, std::move(rejected));
    }
    void announce(Announcement &&announcement) override { announcer_.note(std::move(announcement)); }
    std::string lease_closed_reason(const mirror::Mirror &mirror) override {
        return leases_.closed_reason(mirror.server);
    }
    bool is_lease_awaited(const mirror::Mirror &mirror) override { return leases_.is_awaited(mirror.server); }
    std::string rival(const mirror::Mirror &mirror) override {
        return mirror.settings.manage ? leases_.rival(mirror.server) : std::string();
    }
    void lease_acquired(const std::string &server) override {
        for (const auto &[relation, mirror] : catalog_->mirrors)
            if (mirror.server == server)
                compare_.request(relation, true);
    }
    bool in_flight(const mirror::Key &key) override { return actuator_.in_flight(key); }
    void listed_anew(uint32_t relation, bool was_missing) override {
        if (actuator_.forget_schema_problem(relation) || was_missing)
            compare_.request(relation, true);
    }
    std::string schema_problem(uint32_t relation) override { return actuator_.schema_problem(relation); }
    void seen(const SeenObject &object) override {
        if (const mirror::Mirror *mirror = catalog_->find(object.key.relation);
            mirror && mirror->resource.kind == "CustomResourceDefinition")
            watcher_.expect_kinds(mirror->server);
        if (object.what == Seen::reported || object.what == Seen::released)
            actuator_.note_report(object.key);
        if (object.what == Seen::reported)
            return;
        actuator_.touch(object.key, object.what == Seen::gone ? object.uid : std::string());
        operations_.touch(object.key);
    }
    void server_answers(const mirror::Mirror &mirror) override { actuator_.server_answers(mirror); }
    void note_error(const std::string &message) override {
        process_.note_error(message);
        // What goes on failing is logged once a minute.
        if (message == logged_error_ && monotonic_ms() - logged_ms_ < 60'000)
            return;
        logged_error_ = message;
        logged_ms_ = monotonic_ms();
        pg::log("DBNet mirror worker: " + message);
    }

    WorkerProcess &process_;
    kubernetes::Transport transport_;
    WalTail tail_;
    Watcher watcher_;
    Leases leases_;
    Actuator actuator_;
    Announcer announcer_;
    Operations operations_;
    Compare compare_;
    Housekeeping housekeeping_;
    RecordRoom record_room_;
    std::shared_ptr<const mirror::Catalog> catalog_;
    uint64_t configuration_ = 0;
    uint64_t answered_ = 0; // the last question about our progress
    std::vector<Commit> commits_;
    bool is_behind_ = false; // more has been committed than was taken in
    bool was_comparing_ = false;
    int64_t next_compare_ms_ = INT64_MAX;
    XLogRecPtr flushed_ = InvalidXLogRecPtr; // own commits up to here are on disk
    int64_t flushed_ms_ = 0;
    kubernetes::FileStamps seen_files_; // when they were last looked at
    int64_t next_look_ms_ = 0;
    int64_t next_reconnect_ms_ = INT64_MAX; // while a mirror has no connection
    int reconnects_ = 0;
    std::string logged_error_;
    int64_t logged_ms_ = 0;
};

void run_mirror_worker(WorkerProcess &process) {
    kubernetes::initialize_transport();
    static bool is_registered = false; // for the life of the process, which may serve one extension after another
    if (!std::exchange(is_registered, true))
        pg::call([] {
            CacheRegisterRelcacheCallback(note_table, Datum{0});
            for (const int cache : {NAMESPACEOID, FOREIGNSERVEROID, USERMAPPINGOID, AUTHOID, AUTHMEMMEMROLE})
                CacheRegisterSyscacheCallback(cache, note_other, Datum{0});
        });
    MirrorWorker(process).run();
}

} // namespace
} // namespace dbnet::bgworker

DBNET_WORKER_MAIN(dbnet_mirror_worker_main) {
    dbnet::bgworker::run_worker_process(DatumGetObjectId(argument), dbnet::pg::WorkerKind::mirror,
                                        dbnet::bgworker::run_mirror_worker);
}
