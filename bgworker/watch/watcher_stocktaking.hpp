// What there is of a mirror's objects and in which version, asked of the server's store beside the running watch: as
// PartialObjectMetadata, which carries all of an object's metadata and nothing else, page by page; names, uids and
// versions are kept. What is done with a page is the watcher's business. Knows nothing of the database. Runs in the
// mirror worker; handlers are called from Transport::run().
#pragma once

#include "bgworker/watch/watcher_keys.hpp"
#include "kubernetes/list.hpp"
#include "kubernetes/transport/transport.hpp"
#include "mirror/store/catalog.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dbnet::bgworker {

class Stocktaking {
public:
    struct Item {
        mirror::Key key;
        std::string uid;
        std::string resource_version;
    };

    explicit Stocktaking(kubernetes::Transport &transport) : transport_(transport) {}
    ~Stocktaking() { stop(); }
    Stocktaking(const Stocktaking &) = delete;
    Stocktaking &operator=(const Stocktaking &) = delete;

    void begin(std::shared_ptr<const mirror::Mirror> mirror);
    void stop();

    enum class State {
        idle,
        waiting,  // for an answer
        page,     // page() has arrived; next() asks for the next one, or ends
        complete, // all pages were taken; until stop()
        failed    // until stop()
    };
    State state() const noexcept { return state_; }
    bool is_idle() const noexcept { return state_ == State::idle; }
    const std::vector<Item> &page() const noexcept { return page_; }
    void next();

    // Of everything so far.
    const std::string &list_version() const noexcept { return list_version_; }
    bool is_listed(const mirror::Key &key) const { return listed_.contains(key); }

private:
    void ask();
    void take(std::string_view text);
    void on_end(kubernetes::Response &&response);

    kubernetes::Transport &transport_;
    State state_ = State::idle;
    std::shared_ptr<const mirror::Mirror> mirror_;
    kubernetes::Transport::Id request_ = 0;
    std::optional<kubernetes::ListReader> reader_;
    std::vector<Item> page_;
    std::string list_version_, continue_token_;
    KeySet listed_;
};

} // namespace dbnet::bgworker
