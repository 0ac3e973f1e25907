// One mirror's conversation with its server: carries out what the reflector wants, turns lists and watches into queued
// events. Knows nothing of the database. Runs in the mirror worker; handlers are called from Transport::run().
#pragma once

#include "bgworker/watch/watcher_keys.hpp"
#include "bgworker/watch/watcher_lookups.hpp"
#include "bgworker/watch/watcher_queue.hpp"
#include "bgworker/watch/watcher_reflector.hpp"
#include "bgworker/watch/watcher_stocktaking.hpp"
#include "kubernetes/list.hpp"
#include "kubernetes/transport/transport.hpp"
#include "kubernetes/watch.hpp"
#include "mirror/store/catalog.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace dbnet::bgworker {

Milliseconds monotonic_now() noexcept;

class MirrorWatch {
public:
    // Where the last process stopped: version and cluster, "" when there was none.
    MirrorWatch(std::shared_ptr<const mirror::Mirror> mirror, kubernetes::Transport &transport,
                std::string known_version, std::string known_cluster = {});
    ~MirrorWatch();
    MirrorWatch(const MirrorWatch &) = delete;
    MirrorWatch &operator=(const MirrorWatch &) = delete;

    // New settings of the same mirror, new credentials among them; a change of its server, kind or scope needs another
    // MirrorWatch. True: everything is listed anew, and recorded as it is.
    bool update(std::shared_ptr<const mirror::Mirror> mirror);
    static bool is_same_source(const mirror::Mirror &left, const mirror::Mirror &right);

    const mirror::Mirror &mirror() const noexcept { return *mirror_; }
    const Reflector &reflector() const noexcept { return reflector_; }
    EventQueue &queue() noexcept { return queue_; }
    const EventQueue &queue() const noexcept { return queue_; }

    // Starts what is due, and reads on where there is room again.
    void turn(Milliseconds now);
    Milliseconds due() const;

    // A complete list has arrived and is_listed() can be asked; until the next list starts.
    bool has_complete_list() const noexcept { return complete_; }
    bool is_listed(const mirror::Key &key) const { return listed_.contains(key); }
    // Objects that have been recorded since the list began and were new; whether they are all that it has.
    void note_imported(size_t count) noexcept { imported_ += count; }
    bool has_imported_all() const noexcept { return imported_ == listed_.size(); }
    size_t imported() const noexcept { return imported_; }

    // Asks the server what became of the object, which a list or watch does not show any more; the answer becomes an
    // event. With `as_of`: it is not recorded as the stocktaking of this version has it; void as soon as the watch
    // tells.
    void look_up(LookUps::Object object, Milliseconds due = 0);
    bool looks_up(const mirror::Key &key) const { return lookups_.wants(key); }
    // Why the server does not say; empty: it does.
    std::string lookup_problem() const { return lookups_.problem(); }

    // The object is known to be gone: what a list or watch still shows of it, or has shown, is old.
    void forget(const mirror::Key &key, const std::string &uid);

    // The object is in this version or a newer one, which is not recorded: what the watch still tells, or has told, of
    // older ones is old.
    void await_version(const mirror::Key &key, const std::string &resource_version);

    // This version of the object is recorded: the watch's event of it tells nothing new.
    void note_recorded(const mirror::Key &key, const std::string &resource_version);

    // Beside a running watch; ends when a list begins.
    Stocktaking &stocktaking() noexcept { return stocktaking_; }
    const Stocktaking &stocktaking() const noexcept { return stocktaking_; }
    void begin_stocktaking();
    // The running watch has been shown to miss events: another one goes on where it was.
    void renew_watch();

    // Uid of the server's namespace kube-system: which cluster it is. "": not known, as where it may not be read.
    const std::string &cluster() const noexcept { return cluster_; }
    // Which one it was until it was found to be another; "": it is the same. Everything is listed anew then, and
    // recorded as it is. Asking resets it.
    std::string take_former_cluster() noexcept { return std::exchange(former_cluster_, {}); }

    // A full list from the store.
    void resync();
    // What waits after a failure is done at once.
    void hurry() noexcept {
        reflector_.hurry();
        lookups_.hurry();
    }
    void expect_kind() noexcept { reflector_.expect_kind(); }

    // When the watch last gave a sign of life and since when it runs, seconds of the Unix epoch; 0: never, not.
    int64_t last_event_at() const noexcept { return last_event_at_; }
    int64_t watch_since() const noexcept { return watch_since_; }

    // Events since it was last asked, by kubernetes::Event::Type.
    using EventCounts = std::array<uint64_t, 5>;
    EventCounts take_event_counts() noexcept { return std::exchange(event_counts_, {}); }

private:
    void start_list(const Reflector::Command &command);
    void start_watch(const Reflector::Command &command, Milliseconds now);
    void start_probe();
    void ask_cluster();
    void on_cluster(kubernetes::Response &&response);
    void on_list_part(std::string_view bytes);
    void on_list_end(kubernetes::Response &&response);
    void take_item(std::string_view text);
    void store_item(std::string_view text);
    void store_waiting_items();
    void end_request();
    void on_line(std::string_view line);
    void on_event(kubernetes::Event &&event);
    void on_watch_end(kubernetes::Response &&response);
    void end_stream();
    void stop();
    void push_present(nlohmann::json object, std::string_view text, bool authoritative = false,
                      const std::string &as_of = {}, bool is_repair = false);
    void push_removed(const LookUps::Object &object);
    bool is_awaited_newer(const mirror::Key &key, const std::string &resource_version, bool is_of_watch);
    void on_removed(const nlohmann::json &object);
    void start_lookups(Milliseconds now);
    void drop_lookup(const mirror::Key &key);
    void on_looked_up(const LookUps::Object &object, kubernetes::Response &&response);

    std::shared_ptr<const mirror::Mirror> mirror_;
    kubernetes::Transport &transport_;
    std::minstd_rand random_;
    Reflector reflector_;
    EventQueue queue_;

    kubernetes::Transport::Id request_ = 0; // list or probe
    kubernetes::Transport::Id stream_ = 0;
    kubernetes::Transport::Id cluster_request_ = 0;
    bool must_ask_cluster_ = true;
    std::string cluster_, former_cluster_;
    Stocktaking stocktaking_;
    LookUps lookups_;
    std::unordered_map<mirror::Key, kubernetes::Transport::Id, mirror::KeyHash> lookup_requests_;
    bool paused_ = false;                        // the stream, or the list while it is read
    std::optional<kubernetes::ListReader> page_; // set while a page is read
    size_t page_items_ = 0;                      // of it, so far
    bool is_other_snapshot_ = false;             // than the pages before it
    std::vector<std::string> waiting_items_;     // of a page whose version is not known yet
    size_t waiting_bytes_ = 0;
    bool complete_ = false;
    bool first_list_ = true; // of this configuration: recorded as it is, whatever versions are recorded
    bool unordered_ = false; // the page's items could not wait for its version
    KeySet listed_;          // by the running or last list
    size_t imported_ = 0;    // since listed_ was cleared
    // Versions that answers showed and the running watch has not. Empty whenever no watch runs: a server that was
    // rewound gives versions a second time.
    std::unordered_map<mirror::Key, std::string, mirror::KeyHash> recorded_;
    std::unordered_map<mirror::Key, std::string, mirror::KeyHash> awaited_; // versions; see await_version()
    std::unordered_set<size_t> gone_; // hashes of uids, which tell as much in a quarter of the memory
    std::deque<size_t> gone_order_;
    int64_t last_event_at_ = 0;
    int64_t watch_since_ = 0;
    EventCounts event_counts_{};
};

} // namespace dbnet::bgworker
