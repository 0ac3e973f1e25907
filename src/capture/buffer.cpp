// The list of a transaction's changes (see buffer.hpp). Pure C++; runs in backends.
#include "capture/buffer.hpp"

#include <algorithm>
#include <cstring>

namespace dbnet::capture {
namespace {

// Of one key beside its text: its place in the list, its node and bucket in the index.
constexpr std::size_t bytes_per_key = sizeof(ChangeView) + 6 * sizeof(void *);

} // namespace

std::size_t Buffer::Hash::operator()(const ChangeView *change) const {
    const std::hash<std::string_view> hash;
    return (hash(change->name) * 31 + hash(change->name_space)) * 31 + change->relation;
}

bool Buffer::SameKey::operator()(const ChangeView *left, const ChangeView *right) const {
    return left->relation == right->relation && left->name == right->name && left->name_space == right->name_space;
}

Buffer::Buffer(std::pmr::memory_resource *memory, std::size_t limit) : limit_(limit), arena_(memory), whole_(memory) {}

void Buffer::add(const ChangeView &change, std::uint32_t subtransaction, std::uint32_t cause) {
    if (change.operation == 'C' || change.operation == 'O' || change.operation == 'S') {
        if (!is_whole(change.relation, change.operation))
            whole_.push_back({change.relation, change.operation, {}, {}, 0, change.role});
        return;
    }
    if (!whole_.empty() && is_whole(change.relation, 'C'))
        return;
    if (!keys_)
        keys_.emplace(&arena_);
    Entry wanted{change, cause, subtransaction};
    const auto found = keys_->index.find(&wanted);
    const bool is_new = found == keys_->index.end();
    if (change.operation == 'A' && !is_new && (*found)->operation != '\0')
        return; // it is looked at anyhow
    const bool needs_undo = subtransaction != top && (is_new || (*found)->subtransaction != subtransaction);
    const std::size_t bytes =
        (is_new ? bytes_per_key + change.name_space.size() + change.name.size() : 0) + (needs_undo ? sizeof(Undo) : 0);
    if (bytes_ + bytes > limit_) {
        shrink(change);
        return;
    }
    if (is_new) {
        wanted.name_space = copied(change.name_space);
        wanted.name = copied(change.name);
        wanted.operation = '\0';
        wanted.event = 0;
        Entry &entry = keys_->list.emplace_back(wanted);
        keys_->index.insert(&entry);
        note(entry, change, subtransaction, cause, needs_undo);
    } else {
        note(**found, change, subtransaction, cause, needs_undo);
    }
    bytes_ += bytes;
}

void Buffer::note(Entry &entry, const ChangeView &change, std::uint32_t subtransaction, std::uint32_t cause,
                  bool needs_undo) {
    if (needs_undo)
        keys_->undo.push_back(
            {&entry, entry.operation, entry.event, entry.cause, entry.role, entry.subtransaction, subtransaction});
    entry.operation = change.operation;
    entry.event = change.event;
    entry.cause = cause;
    entry.role = change.role;
    entry.subtransaction = subtransaction;
}

void Buffer::commit(std::uint32_t subtransaction, std::uint32_t parent) noexcept {
    if (!keys_)
        return;
    auto &undo = keys_->undo;
    for (auto last = undo.rbegin(); last != undo.rend() && last->subtransaction == subtransaction; ++last)
        last->subtransaction = parent;
    if (parent != top)
        return;
    bytes_ -= undo.size() * sizeof(Undo); // nobody can roll back to anything in between
    undo.clear();
}

void Buffer::roll_back(std::uint32_t subtransaction) noexcept {
    if (!keys_)
        return;
    auto &undo = keys_->undo;
    for (; !undo.empty() && undo.back().subtransaction == subtransaction; undo.pop_back()) {
        const Undo &change = undo.back();
        change.entry->operation = change.operation;
        change.entry->event = change.event;
        change.entry->cause = change.cause;
        change.entry->role = change.role;
        change.entry->subtransaction = change.before;
        bytes_ -= sizeof(Undo);
    }
}

bool Buffer::is_whole(std::uint32_t relation, char operation) const {
    return std::ranges::any_of(
        whole_, [&](const ChangeView &one) { return one.relation == relation && one.operation == operation; });
}

// Nothing is let go before all of `whole_` is there: when memory runs out on the way, which a savepoint may catch, the
// commit still tells of every key, of some twice.
void Buffer::shrink(const ChangeView &newest) {
    whole_.push_back({newest.relation, 'C', {}, {}, 0, newest.role});
    for (const Entry &change : keys_->list)
        if (change.operation != '\0' && !is_whole(change.relation, 'C'))
            whole_.push_back({change.relation, 'C', {}, {}, 0, change.role});
    keys_.reset();
    arena_.release();
    bytes_ = 0;
}

std::string_view Buffer::copied(std::string_view text) {
    if (text.empty())
        return {};
    auto *copy = static_cast<char *>(arena_.allocate(text.size(), 1));
    std::memcpy(copy, text.data(), text.size());
    return {copy, text.size()};
}

} // namespace dbnet::capture

#include "pg/no_postgres.hpp"
