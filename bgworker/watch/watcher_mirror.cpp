// Implementation of watcher_mirror.hpp. Runs in the mirror worker.
#include "bgworker/watch/watcher_mirror.hpp"

#include "kubernetes/api.hpp"
#include "kubernetes/failure.hpp"
#include "kubernetes/json_access.hpp"
#include "kubernetes/object/resource_version.hpp"
#include "mirror/decision/scope.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "pg/no_postgres.hpp"

namespace dbnet::bgworker {

using kubernetes::Outcome;

namespace {

constexpr size_t gone_limit = 10'000;             // objects; half a megabyte of each mirror
constexpr Milliseconds ending_pause = 5'000;      // between two looks at an object that has left and is being deleted
constexpr size_t waiting_limit = 8 * 1024 * 1024; // bytes of items that wait for the version of their list
constexpr size_t recorded_limit = 10'000; // an apply that changed nothing has no event that would clear its version

Outcome protocol_error(const std::string &what) {
    Outcome outcome;
    outcome.kind = Outcome::unavailable;
    outcome.message = what;
    return outcome;
}

std::string text_at(const nlohmann::json &object, const char *member) {
    auto metadata = object.find("metadata");
    if (metadata == object.end() || !metadata->is_object())
        return {};
    auto value = metadata->find(member);
    return value != metadata->end() && value->is_string() ? value->get<std::string>() : std::string();
}

bool same_columns(const mirror::Mapping &left, const mirror::Mapping &right) {
    return std::equal(left.columns.begin(), left.columns.end(), right.columns.begin(), right.columns.end(),
                      [](const mirror::Column &a, const mirror::Column &b) {
                          return a.name == b.name && a.path == b.path && a.role == b.role && a.type == b.type &&
                                 a.column_type == b.column_type;
                      });
}

} // namespace

Milliseconds monotonic_now() noexcept {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

MirrorWatch::MirrorWatch(std::shared_ptr<const mirror::Mirror> mirror, kubernetes::Transport &transport,
                         std::string known_version, std::string known_cluster)
    : mirror_(std::move(mirror)), transport_(transport), random_(std::random_device()()),
      reflector_(
          ReflectorLimits{}, [this] { return std::generate_canonical<double, 30>(random_); }, std::move(known_version)),
      cluster_(std::move(known_cluster)), stocktaking_(transport) {}

MirrorWatch::~MirrorWatch() {
    stop();
}

bool MirrorWatch::is_same_source(const mirror::Mirror &left, const mirror::Mirror &right) {
    bool same_server = left.connection && right.connection ? left.connection->api_url == right.connection->api_url
                                                           : left.connection == right.connection;
    return same_server && left.field_manager == right.field_manager && left.resource == right.resource &&
           left.name_space == right.name_space && left.label_selector == right.label_selector;
}

bool MirrorWatch::update(std::shared_ptr<const mirror::Mirror> mirror) {
    bool list_again = !same_columns(mirror->mapping, mirror_->mapping) || mirror->problem != mirror_->problem;
    bool reconnect = mirror_->connection && *mirror->connection != *mirror_->connection;
    mirror_ = std::move(mirror);
    if (reconnect) { // what was allowed to the old credentials is nothing to go on with
        end_stream();
        end_request();
        stocktaking_.stop();
        reflector_.reconnect();
        must_ask_cluster_ = true;
    }
    if (list_again) {
        first_list_ = true;
        queue_.clear(); // its events are in terms of the old columns
        resync();
    }
    return list_again;
}

void MirrorWatch::stop() {
    end_stream();
    end_request();
    transport_.cancel(std::exchange(cluster_request_, 0));
    for (const auto &[key, id] : lookup_requests_)
        transport_.cancel(id);
    lookup_requests_.clear();
}

void MirrorWatch::end_stream() {
    transport_.cancel(stream_);
    stream_ = 0;
    paused_ = false;
    watch_since_ = 0;
    recorded_.clear();
}

void MirrorWatch::end_request() {
    transport_.cancel(request_);
    request_ = 0;
    paused_ = paused_ && !page_;
    page_.reset();
}

void MirrorWatch::resync() {
    end_stream();
    end_request();
    reflector_.resync();
}

void MirrorWatch::await_version(const mirror::Key &key, const std::string &resource_version) {
    queue_.drop_older(key, resource_version);
    if (awaited_.size() >= recorded_limit)
        awaited_.clear();
    awaited_[key] = resource_version;
}

void MirrorWatch::forget(const mirror::Key &key, const std::string &uid) {
    awaited_.erase(key);
    if (uid.empty())
        return;
    queue_.drop_gone(key, uid);
    const size_t hash = std::hash<std::string>()(uid);
    if (!gone_.insert(hash).second)
        return;
    gone_order_.push_back(hash);
    if (gone_order_.size() > gone_limit) {
        gone_.erase(gone_order_.front());
        gone_order_.pop_front();
    }
}

void MirrorWatch::note_recorded(const mirror::Key &key, const std::string &resource_version) {
    // Of versions that do not order, the record may have kept another one.
    const bool orders = !resource_version.empty() && std::all_of(resource_version.begin(), resource_version.end(),
                                                                 [](char c) { return c >= '0' && c <= '9'; });
    if (!orders || !reflector_.is_watching() || queue_.drop(key, resource_version))
        return;
    if (recorded_.size() >= recorded_limit)
        recorded_.clear();
    recorded_[key] = resource_version;
}

void MirrorWatch::begin_stocktaking() {
    must_ask_cluster_ = true;
    stocktaking_.begin(mirror_);
}

void MirrorWatch::renew_watch() {
    if (!reflector_.is_watching())
        return;
    end_stream();
    reflector_.reconnect();
}

Milliseconds MirrorWatch::due() const {
    if (!mirror_->connection || (!reflector_.is_watching() && !queue_.has_room()))
        return -1;
    if (paused_ && queue_.has_room())
        return 0; // reads on
    const Milliseconds look_up = queue_.has_room() ? lookups_.due() : -1;
    const Milliseconds others = reflector_.due();
    return look_up < 0 ? others : others < 0 ? look_up : std::min(look_up, others);
}

void MirrorWatch::turn(Milliseconds now) {
    if (!mirror_->connection)
        return;
    if (paused_ && queue_.has_room()) {
        transport_.resume(page_ ? request_ : stream_);
        paused_ = false;
    }
    if (!reflector_.is_watching() && !queue_.has_room())
        return; // the next page waits until this one is stored
    start_lookups(now);
    if (must_ask_cluster_ && cluster_request_ == 0)
        ask_cluster();
    Reflector::Command command = reflector_.next(now);
    switch (command.action) {
    case Reflector::Action::none:
        return;
    case Reflector::Action::list:
        start_list(command);
        return;
    case Reflector::Action::watch:
        start_watch(command, now);
        return;
    case Reflector::Action::probe:
        start_probe();
        return;
    }
}

// Lists --------------------------------------------------------------------------------------------------------------

void MirrorWatch::start_list(const Reflector::Command &command) {
    if (command.continue_token.empty()) {
        stocktaking_.stop();
        listed_.clear();
        imported_ = 0;
        complete_ = false;
        unordered_ = false;
    }
    page_.emplace();
    page_items_ = 0;
    waiting_items_.clear();
    waiting_bytes_ = 0;
    is_other_snapshot_ = false;
    kubernetes::ListOptions options;
    options.label_selector = mirror_->label_selector;
    options.limit = command.limit;
    options.continue_token = command.continue_token;
    options.resource_version = command.resource_version;
    request_ = transport_.fetch(
        *mirror_->connection, list_request(mirror_->resource, mirror_->name_space, options),
        [this](std::string_view bytes) { on_list_part(bytes); },
        [this](kubernetes::Response &&response) { on_list_end(std::move(response)); });
}

// Objects go into the queue while the rest of the page is still on its way; a queue that is full stops the reading.
void MirrorWatch::on_list_part(std::string_view bytes) {
    try {
        page_->push(bytes, [this](std::string_view item) { take_item(item); });
    } catch (const std::exception &error) {
        end_request();
        reflector_.on_list_failure(protocol_error(error.what()), monotonic_now());
        return;
    }
    if (is_other_snapshot_) {
        end_request();
    } else if (queue_.is_full() && !paused_) {
        transport_.pause(request_);
        paused_ = true;
    }
}

void MirrorWatch::take_item(std::string_view text) {
    if (is_other_snapshot_)
        return;
    if (page_items_++ == 0 && page_->head())
        is_other_snapshot_ = reflector_.on_page_begin(page_->head()->resource_version) == Reflector::Page::restart;
    if (is_other_snapshot_)
        return;
    reflector_.on_item();
    const bool waits = reflector_.list_version().empty() && !first_list_ && !unordered_;
    if (!waits) {
        store_item(text);
        return;
    }
    waiting_items_.emplace_back(text);
    waiting_bytes_ += text.size();
    if (waiting_bytes_ > waiting_limit) {
        unordered_ = true;
        store_waiting_items();
    }
}

void MirrorWatch::store_waiting_items() {
    for (const std::string &item : std::exchange(waiting_items_, {}))
        store_item(item);
    waiting_bytes_ = 0;
}

void MirrorWatch::store_item(std::string_view text) {
    nlohmann::json item = kubernetes::parse_item(text, mirror_->resource);
    listed_.insert({mirror_->relation, text_at(item, "namespace"), text_at(item, "name")});
    push_present(std::move(item), text, reflector_.is_rewound() || first_list_, reflector_.list_version());
}

void MirrorWatch::on_list_end(kubernetes::Response &&response) {
    request_ = 0;
    std::optional<kubernetes::ListReader> page = std::exchange(page_, std::nullopt);
    paused_ = false;
    if (Outcome outcome = classify(response); !outcome) {
        reflector_.on_list_failure(outcome, monotonic_now());
        return;
    }
    try {
        const kubernetes::ListHead &head = page->finish();
        if (reflector_.on_page_begin(head.resource_version) == Reflector::Page::restart)
            return;
        store_waiting_items();
        const Reflector::Page what =
            reflector_.on_page(head.resource_version, head.continue_token, page_items_, head.remaining);
        last_event_at_ = std::time(nullptr);
        complete_ = what == Reflector::Page::last;
        first_list_ = first_list_ && !complete_;
        if (complete_ && reflector_.is_rewound())
            awaited_.clear();
        if (complete_ && unordered_ && reflector_.is_rewound()) {
            first_list_ = true; // its items went in as if their versions counted: once more, as they are
            resync();
        }
    } catch (const std::exception &error) {
        reflector_.on_list_failure(protocol_error(error.what()), monotonic_now());
    }
}

// A server that leads to another cluster may have come to versions at which a watch goes on as if nothing had happened.
void MirrorWatch::ask_cluster() {
    must_ask_cluster_ = false;
    const kubernetes::Resource name_spaces{"", "v1", "Namespace", "namespaces", false};
    cluster_request_ = transport_.send(*mirror_->connection, get_request(name_spaces, "", "kube-system"),
                                       [this](kubernetes::Response &&response) { on_cluster(std::move(response)); });
}

void MirrorWatch::on_cluster(kubernetes::Response &&response) {
    cluster_request_ = 0;
    const nlohmann::json body = classify(response) ? nlohmann::json::parse(response.body, nullptr, false) : nullptr;
    const std::string uid = body.is_object() ? text_at(body, "uid") : "";
    if (uid.empty() || uid == cluster_)
        return;
    former_cluster_ = std::exchange(cluster_, uid);
    if (former_cluster_.empty())
        return;
    first_list_ = true;
    awaited_.clear();
    queue_.clear();
    resync();
}

void MirrorWatch::start_probe() {
    must_ask_cluster_ = true;
    request_ = transport_.send(*mirror_->connection, probe_version_request(mirror_->resource, mirror_->name_space),
                               [this](kubernetes::Response &&response) {
                                   request_ = 0;
                                   std::string newest;
                                   Outcome outcome = classify(response);
                                   try {
                                       kubernetes::ListReader list;
                                       if (outcome) {
                                           list.push(response.body, [](std::string_view) {});
                                           newest = list.finish().resource_version;
                                       }
                                   } catch (const std::exception &error) {
                                       outcome = protocol_error(error.what());
                                   }
                                   reflector_.on_probe(outcome, newest, monotonic_now());
                               });
}

// Watch --------------------------------------------------------------------------------------------------------------

void MirrorWatch::start_watch(const Reflector::Command &command, Milliseconds now) {
    kubernetes::Request request = watch_request(mirror_->resource, mirror_->name_space, command.resource_version,
                                                mirror_->label_selector, std::generate_canonical<double, 30>(random_));
    reflector_.on_watch_started(std::chrono::milliseconds(request.timeout).count(), now);
    watch_since_ = std::time(nullptr);
    stream_ = transport_.stream(
        *mirror_->connection, std::move(request), [this](std::string_view line) { on_line(line); },
        [this](kubernetes::Response &&response) { on_watch_end(std::move(response)); });
}

void MirrorWatch::on_line(std::string_view line) {
    if (!reflector_.is_watching())
        return; // given up within this run of lines
    try {
        on_event(kubernetes::parse_event(line));
    } catch (const std::exception &error) {
        end_stream();
        reflector_.on_watch_failure(protocol_error(error.what()), monotonic_now());
    }
    if (queue_.is_full() && stream_ != 0 && !paused_) {
        transport_.pause(stream_);
        paused_ = true;
    }
}

void MirrorWatch::on_event(kubernetes::Event &&event) {
    last_event_at_ = std::time(nullptr);
    ++event_counts_[static_cast<size_t>(event.type)];
    switch (event.type) {
    case kubernetes::Event::Type::error:
        end_stream();
        reflector_.on_watch_failure(event.outcome, monotonic_now());
        return;
    case kubernetes::Event::Type::bookmark:
        break;
    case kubernetes::Event::Type::removed:
        on_removed(event.object);
        break;
    case kubernetes::Event::Type::added:
    case kubernetes::Event::Type::modified:
        push_present(std::move(event.object), event.text);
        break;
    }
    reflector_.on_event(event.resource_version);
}

void MirrorWatch::on_watch_end(kubernetes::Response &&response) {
    end_stream();
    if (!reflector_.is_watching())
        return;
    if (response.status == 200)
        reflector_.on_watch_end(response.transport_error.empty(), response.transport_error, monotonic_now());
    else
        reflector_.on_watch_failure(classify(response), monotonic_now());
}

// Objects ------------------------------------------------------------------------------------------------------------

void MirrorWatch::push_present(nlohmann::json object, std::string_view text, bool authoritative,
                               const std::string &as_of, bool is_repair) {
    // What has no name cannot be a row, and must not cost the others of its page.
    if (text_at(object, "name").empty() || gone_.contains(std::hash<std::string>()(text_at(object, "uid"))))
        return;
    const mirror::Key key{mirror_->relation, text_at(object, "namespace"), text_at(object, "name")};
    const std::string version = text_at(object, "resourceVersion");
    if (is_awaited_newer(key, version, !authoritative && as_of.empty()))
        return;
    if (auto recorded = recorded_.find(key); recorded != recorded_.end()) {
        bool is_same = recorded->second == version;
        recorded_.erase(recorded);
        if (is_same && !authoritative)
            return;
    }
    QueuedEvent event = present_event(*mirror_, std::move(object), text);
    event.authoritative = authoritative;
    event.as_of = as_of;
    event.is_repair = is_repair;
    drop_lookup(event.key); // it is back in scope, or there is another of its name
    if (as_of.empty())
        event.since = std::chrono::steady_clock::now();
    queue_.push(std::move(event));
}

// What was read on purpose counts whatever its version.
bool MirrorWatch::is_awaited_newer(const mirror::Key &key, const std::string &resource_version, bool is_of_watch) {
    const auto awaited = awaited_.find(key);
    if (awaited == awaited_.end())
        return false;
    const bool is_newer = kubernetes::is_older(resource_version, awaited->second);
    if (!is_newer)
        awaited_.erase(awaited);
    return is_newer && is_of_watch;
}

void MirrorWatch::on_removed(const nlohmann::json &object) {
    const mirror::Key key{mirror_->relation, text_at(object, "namespace"), text_at(object, "name")};
    LookUps::Object removed{key, text_at(object, "uid"), "", text_at(object, "resourceVersion")};
    // Of a watch with a selector it may only mean that the object does not match any more.
    if (!mirror_->label_selector.empty()) {
        awaited_.erase(key);
        return look_up(std::move(removed));
    }
    drop_lookup(key);
    push_removed(removed);
}

void MirrorWatch::push_removed(const LookUps::Object &object) {
    awaited_.erase(object.key);
    QueuedEvent event = removed_event(object.key, object.uid);
    event.resource_version = object.version;
    event.is_repair = !object.as_of.empty();
    queue_.push(std::move(event));
}

void MirrorWatch::look_up(LookUps::Object object, Milliseconds due) {
    drop_lookup(object.key);
    lookups_.want(std::move(object), due);
}

void MirrorWatch::drop_lookup(const mirror::Key &key) {
    lookups_.drop(key);
    if (const auto request = lookup_requests_.find(key); request != lookup_requests_.end()) {
        transport_.cancel(request->second);
        lookup_requests_.erase(request);
    }
}

void MirrorWatch::start_lookups(Milliseconds now) {
    while (queue_.has_room()) {
        const std::optional<LookUps::Object> object = lookups_.next(now);
        if (!object)
            return;
        lookup_requests_[object->key] = transport_.send(
            *mirror_->connection, get_request(mirror_->resource, object->key.name_space, object->key.name),
            [this, object = *object](kubernetes::Response &&response) {
                lookup_requests_.erase(object.key);
                on_looked_up(object, std::move(response));
            });
    }
}

// There may be another of its name, which counts if the selector has it.
void MirrorWatch::on_looked_up(const LookUps::Object &object, kubernetes::Response &&response) {
    Outcome outcome = classify(response, mirror_->resource.plural);
    if (outcome.kind == Outcome::not_found) {
        lookups_.done(object.key);
        push_removed(object);
        return;
    }
    try {
        if (outcome) {
            nlohmann::json body = kubernetes::parse_json(response.body);
            if (!body.is_object() || text_at(body, "name") != object.key.name)
                throw kubernetes::Failure("the server's answer is not the object that was asked for");
            const bool is_repair = !object.as_of.empty();
            const bool is_same = text_at(body, "uid") == object.uid;
            const bool has_left = mirror::has_left_selector(mirror_->settings, body);
            const bool is_ending = has_left && kubernetes::is_terminating(body);
            if (is_same || !has_left)
                push_present(std::move(body), response.body, false, object.as_of, is_repair);
            else
                push_removed(object);
            lookups_.done(object.key);
            if (is_same && is_ending) // no watch tells of its end
                lookups_.want({object.key, object.uid, "", object.version}, monotonic_now() + ending_pause);
            return;
        }
    } catch (const std::exception &error) {
        outcome = protocol_error(error.what());
    }
    lookups_.refused(object.key, outcome, monotonic_now());
}

} // namespace dbnet::bgworker
