// All objects, one revision counter, and the log of changes watches and consistent paging read from.
#include "store.hpp"

#include "errors.hpp"

#include <algorithm>

namespace kubesim {

namespace {

constexpr size_t most_stored = 1536 * 1024; // bytes of an object; etcd's --max-request-bytes

// As protobuf, about: there are no escapes in it.
size_t stored_size(const std::string &text) {
    return text.size() - std::count(text.begin(), text.end(), '\\');
}

} // namespace

const std::string &Stored::item_text() const {
    if (item_text_.empty())
        item_text_ = dump(body);
    return item_text_;
}

const std::string &Stored::text() const {
    if (text_.empty())
        text_ = "{\"kind\":" + dump(kind->kind) + ",\"apiVersion\":" + dump(kind->api_version()) + "," +
                item_text().substr(1);
    return text_;
}

StoredPtr seen_as(const Kind &kind, const StoredPtr &stored) {
    if (!stored || stored->kind == &kind)
        return stored;
    auto out = std::make_shared<Stored>();
    out->kind = &kind;
    out->key = stored->key;
    const auto &form = kind.behaviour.kept_as;
    out->body = form ? form->from_kept(stored->body) : stored->body;
    out->revision = stored->revision;
    return out;
}

StoredPtr Store::get(const Kind &kind, const std::string &key) const {
    const Objects &all = objects_[&kind.stored_as()];
    auto it = all.find(key);
    return it == all.end() ? nullptr : seen_as(kind, it->second);
}

Store::Objects Store::objects_at(const Kind &kind, uint64_t revision) const {
    Objects out = objects_[&kind.stored_as()];
    for (auto change = changes_.rbegin(); change != changes_.rend() && change->revision > revision; ++change) {
        if (change->kind != &kind.stored_as())
            continue;
        if (change->before)
            out[change->before->key] = change->before;
        else
            out.erase(change->after->key);
    }
    return out;
}

StoredPtr Store::put(const Kind &kind, const std::string &key, json body) {
    auto stored = std::make_shared<Stored>();
    stored->kind = &kind.stored_as();
    stored->key = key;
    stored->revision = revision_ + 1;
    if (const auto &form = kind.behaviour.kept_as)
        body = form->to_kept(std::move(body));
    body["metadata"]["resourceVersion"] = std::to_string(stored->revision);
    stored->body = std::move(body);
    if (stored_size(stored->item_text()) > most_stored)
        throw ApiError::internal("etcdserver: request is too large");
    ++revision_;
    StoredPtr &slot = objects_[&kind.stored_as()][key];
    StoredPtr before = slot;
    slot = stored;
    append({stored->revision, stored->kind, before, stored, nullptr});
    return stored;
}

void Store::remove(const Kind &kind, const std::string &key) {
    Objects &all = objects_[&kind.stored_as()];
    auto it = all.find(key);
    if (it == all.end())
        return;
    auto last = std::make_shared<Stored>();
    last->kind = &kind.stored_as();
    last->key = key;
    last->revision = ++revision_;
    last->body = it->second->body;
    last->body["metadata"]["resourceVersion"] = std::to_string(last->revision);
    StoredPtr before = it->second;
    all.erase(it);
    append({last->revision, last->kind, before, nullptr, last});
}

void Store::load(const Kind &kind, const std::string &key, json body, uint64_t revision) {
    revision_ = compacted_ = revision;
    if (body.is_null()) {
        objects_[&kind.stored_as()].erase(key);
        return;
    }
    auto stored = std::make_shared<Stored>();
    stored->kind = &kind.stored_as();
    stored->key = key;
    stored->revision = revision;
    stored->body = std::move(body);
    objects_[&kind.stored_as()][key] = stored;
}

void Store::append(Change change) {
    changes_.push_back(change);
    trim(history_);
    if (on_change)
        on_change(change);
}

void Store::trim(size_t keep) {
    while (changes_.size() > keep) {
        compacted_ = changes_.front().revision;
        changes_.pop_front();
    }
}

void Store::restore() {
    if (saved_.revision == 0)
        return;
    objects_ = saved_.objects;
    changes_ = saved_.changes;
    revision_ = saved_.revision;
    compacted_ = saved_.compacted;
}

} // namespace kubesim
