// Watches: streams of changes, one JSON document a line.
#include "watch.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace kubesim {

using std::chrono::milliseconds;

bool WatchPlan::matches(const Stored &stored) const {
    const json &metadata = stored.body.at("metadata");
    if (!name_space.empty() && text_of(metadata, "namespace") != name_space)
        return false;
    if (!labels.matches(metadata))
        return false;
    const auto &form = kind->behaviour.kept_as;
    return fields.matches(form ? form->from_kept(stored.body) : stored.body);
}

void WatchHub::event(Stream &stream, const char *type, const Stored &stored) {
    auto answer = stream.answer.lock();
    if (!answer)
        return;
    const Kind &kind = *stream.plan->kind;
    if (stored.kind == &kind)
        answer->write(stream.plan->representation.event(type, stored, stream.first));
    else
        answer->write(
            stream.plan->representation.event(type, *seen_as(kind, std::make_shared<Stored>(stored)), stream.first));
    stream.first = false;
    stream.dirty = true;
}

void WatchHub::send(Stream &stream, const Change &change) {
    const WatchPlan &plan = *stream.plan;
    if (change.kind != &plan.kind->stored_as() || change.revision <= plan.from)
        return;
    bool before = change.before && plan.matches(*change.before);
    bool after = change.after && plan.matches(*change.after);
    if (after)
        event(stream, before ? "MODIFIED" : "ADDED", *change.after);
    else if (before && !change.after)
        event(stream, "DELETED", *change.last);
    else if (before) {
        // It left the selector: the old state, with the revision of the change.
        Stored left;
        left.kind = change.kind;
        left.key = change.before->key;
        left.body = change.before->body;
        left.revision = change.revision;
        left.body["metadata"]["resourceVersion"] = std::to_string(change.revision);
        event(stream, "DELETED", left);
    }
}

void WatchHub::expired(Answer &answer, const std::string &message) {
    json event = {{"type", "ERROR"}, {"object", ApiError::expired(message).body()}};
    answer.write(dump(event) + "\n");
    answer.end();
}

void WatchHub::start(std::shared_ptr<WatchPlan> plan, const std::shared_ptr<Answer> &answer, const Response &response) {
    answer->begin(response, std::nullopt);
    auto stream = std::make_shared<Stream>();
    stream->plan = plan;
    stream->answer = answer;

    if (plan->initial_objects) {
        plan->from = store_.revision();
        std::vector<StoredPtr> objects;
        for (const auto &[key, stored] : store_.objects(*plan->kind))
            if (plan->matches(*stored))
                objects.push_back(stored);
        // A real server sends them in the order of a hash map.
        std::shuffle(objects.begin(), objects.end(), random_);
        for (const auto &stored : objects)
            event(*stream, "ADDED", *stored);
        if (plan->initial_end_bookmark)
            answer->write(
                plan->representation.bookmark(*plan->kind, plan->from, {{"k8s.io/initial-events-end", "true"}}));
    } else if (const uint64_t oldest = std::max(store_.compacted(), plan->kind->served_from); plan->from < oldest) {
        return expired(*answer,
                       "too old resource version: " + std::to_string(plan->from) + " (" + std::to_string(oldest) + ")");
    } else {
        const auto &changes = store_.changes();
        auto first =
            std::upper_bound(changes.begin(), changes.end(), plan->from,
                             [](uint64_t revision, const Change &change) { return revision < change.revision; });
        for (; first != changes.end(); ++first)
            send(*stream, *first);
    }
    answer->flush();
    streams_.push_back(stream);

    milliseconds timeout(plan->timeout_seconds * 1000LL);
    std::weak_ptr<Stream> weak = stream;
    loop_.after(timeout, [this, weak] {
        if (auto stream = weak.lock())
            end(stream);
    });
    if (!plan->bookmarks)
        return;
    // Every interval, and once two seconds before the end; of a kind in which something has happened, for a server
    // knows of nothing newer.
    bookmark_later(stream, milliseconds(options_.bookmark_interval_ms), false);
    if (timeout > milliseconds(4000))
        bookmark_later(stream, timeout - milliseconds(2000), true);
}

void WatchHub::bookmark_later(const std::shared_ptr<Stream> &stream, milliseconds delay, bool once) {
    std::weak_ptr<Stream> weak = stream;
    loop_.after(delay, [this, weak, delay, once] {
        auto stream = weak.lock();
        auto answer = stream ? stream->answer.lock() : nullptr;
        if (!answer || answer->is_over())
            return;
        const auto newest = newest_.find(&stream->plan->kind->stored_as());
        if (newest != newest_.end() && newest->second > stream->plan->from && newest->second <= store_.revision())
            answer->write(stream->plan->representation.bookmark(*stream->plan->kind, newest->second, nullptr));
        answer->flush();
        if (!once)
            bookmark_later(stream, delay, false);
    });
}

void WatchHub::dispatch(const Change &change) {
    newest_[change.kind] = change.revision;
    for (auto it = streams_.begin(); it != streams_.end();) {
        auto answer = (*it)->answer.lock();
        if (!answer || answer->is_over()) {
            it = streams_.erase(it);
            continue;
        }
        send(**it, change);
        ++it;
    }
}

// A client that does not keep up loses its watch, as the others must not wait for it.
void WatchHub::flush() {
    std::vector<std::shared_ptr<Stream>> slow;
    for (const auto &stream : streams_) {
        if (!std::exchange(stream->dirty, false))
            continue;
        if (auto answer = stream->answer.lock()) {
            answer->flush();
            if (answer->pending() > options_.slow_bytes)
                slow.push_back(stream);
        }
    }
    for (const auto &stream : slow)
        end(stream);
}

void WatchHub::end(const std::shared_ptr<Stream> &stream) {
    // Off the list first: the connection may carry another watch later.
    streams_.remove(stream);
    if (auto answer = stream->answer.lock())
        answer->end();
}

void WatchHub::end_of(const std::vector<const Kind *> &kinds) {
    std::vector<std::shared_ptr<Stream>> ending;
    for (const auto &stream : streams_)
        if (std::find(kinds.begin(), kinds.end(), stream->plan->kind) != kinds.end())
            ending.push_back(stream);
    for (const auto &stream : ending)
        end(stream);
}

} // namespace kubesim
