// Implementation of watcher_stocktaking.hpp. Runs in the mirror worker.
#include "bgworker/watch/watcher_stocktaking.hpp"

#include "kubernetes/api.hpp"
#include "kubernetes/error.hpp"
#include "kubernetes/json_access.hpp"

#include <utility>

namespace dbnet::bgworker {

namespace {

constexpr int page_size = 500;

} // namespace

void Stocktaking::begin(std::shared_ptr<const mirror::Mirror> mirror) {
    stop();
    mirror_ = std::move(mirror);
    ask();
}

void Stocktaking::stop() {
    transport_.cancel(std::exchange(request_, 0));
    reader_.reset();
    page_.clear();
    listed_.clear();
    list_version_.clear();
    continue_token_.clear();
    mirror_.reset();
    state_ = State::idle;
}

void Stocktaking::next() {
    page_.clear();
    if (continue_token_.empty())
        state_ = State::complete;
    else
        ask();
}

void Stocktaking::ask() {
    state_ = State::waiting;
    reader_.emplace();
    kubernetes::ListOptions options;
    options.label_selector = mirror_->label_selector;
    options.limit = page_size;
    options.continue_token = continue_token_;
    options.metadata_only = true;
    request_ = transport_.fetch(
        *mirror_->connection, list_request(mirror_->resource, mirror_->name_space, options),
        [this](std::string_view bytes) {
            try {
                reader_->push(bytes, [this](std::string_view item) { take(item); });
            } catch (const std::exception &) {
                transport_.cancel(std::exchange(request_, 0));
                state_ = State::failed;
            }
        },
        [this](kubernetes::Response &&response) { on_end(std::move(response)); });
}

void Stocktaking::take(std::string_view text) {
    const nlohmann::json item = kubernetes::parse_json(text);
    const nlohmann::json *metadata = kubernetes::member(&item, "metadata");
    Item one{
        {mirror_->relation, kubernetes::text_member(metadata, "namespace"), kubernetes::text_member(metadata, "name")},
        kubernetes::text_member(metadata, "uid"),
        kubernetes::text_member(metadata, "resourceVersion")};
    if (one.key.name.empty())
        return; // it has no row
    listed_.insert(one.key);
    page_.push_back(std::move(one));
}

// A token that ran out, a server that is busy: all of it another time.
void Stocktaking::on_end(kubernetes::Response &&response) {
    request_ = 0;
    state_ = State::failed;
    if (!classify(response))
        return;
    try {
        const kubernetes::ListHead &head = reader_->finish();
        if (!list_version_.empty() && head.resource_version != list_version_)
            return; // pages of two snapshots do not make one picture
        list_version_ = head.resource_version;
        continue_token_ = head.continue_token;
        state_ = State::page;
    } catch (const std::exception &) { // no list
    }
}

} // namespace dbnet::bgworker

#include "pg/no_postgres.hpp"
