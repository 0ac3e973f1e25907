// Versions of rows among the records (see recorder.hpp): the chain of each key, found by key and by place. Backends.
#include "provenance/record/records.hpp"

extern "C" {
#include "storage/itemptr.h"
}

namespace dbnet::provenance {
namespace {

// Fingerprints of what an index is asked for.
uint64 place_key(const Place &place) noexcept {
    const uint64 block = ItemPointerGetBlockNumberNoCheck(&place.row),
                 offset = ItemPointerGetOffsetNumberNoCheck(&place.row);
    return (static_cast<uint64>(place.table) * UINT64CONST(0x9e3779b97f4a7c15)) ^
           (static_cast<uint64>(place.command) * UINT64CONST(0xc2b2ae3d27d4eb4f)) ^ (block << 16 | offset);
}

uint64 version_key(int32 relation, int64 key_hash) noexcept {
    return static_cast<uint64>(key_hash) ^ (static_cast<uint64>(relation) * UINT64CONST(0x9e3779b97f4a7c15));
}

// Where one statement exchanges keys, a row leaves its key before another one comes under it, whichever was met first.
bool goes_before(const Version &version, const Version &other) noexcept {
    const bool leaves = version.operation == 'R' || version.operation == 'D';
    const bool arrives = other.operation == 'I' || (other.operation == 'U' && other.pair != 0);
    return other.command > version.command || (other.command == version.command && leaves && arrives);
}

// Into the chain of versions of its key, newest first. A trigger of the row that ran before ours, or one of another row
// of the same statement, may have changed it again: that is recorded first and was made by a later command.
void link_version(RecordNumber number) {
    Version &version = record_at(number).version;
    const uint64 key = version_key(version.relation, version.key_hash);
    RecordNumber later = 0;
    auto before = static_cast<RecordNumber>(records->keys.find(key));
    while (before > records->flushed && version.command != InvalidCommandId &&
           record_at(before).version.command != InvalidCommandId && goes_before(version, record_at(before).version)) {
        later = before;
        before = record_at(before).version.previous;
    }
    version.previous = before;
    if (later != 0)
        record_at(later).version.previous = number;
    else
        records->keys.put(key, number);
}

} // namespace

RecordNumber add_version(const Version &version, RecordNumber promised) {
    Record record{};
    record.kind = Record::Kind::version;
    record.version = version;
    RecordNumber number = reserved_version(version.relation, version.key_hash);
    if (number == 0 || version.operation == 'I')
        number = promised;
    if (number != 0)
        record_at(number).version = version;
    else
        number = append(record);
    link_version(number);
    if (Record *above = open_record(version.activity); above != nullptr)
        above->activity.has_followed = true;
    return number;
}

void move_version(RecordNumber number, const Version &moved, const Version &left) {
    Record record{};
    record.kind = Record::Kind::version;
    record.version = left;
    record.version.pair = number;
    record.version.previous = record_at(number).version.previous;
    const RecordNumber gone = append(record);
    // In the chain of its key the new one takes the place of the old one.
    const uint64 key = version_key(left.relation, left.key_hash);
    auto later = static_cast<RecordNumber>(records->keys.find(key));
    if (later == number)
        records->keys.put(key, gone);
    for (; later > records->flushed && later != number; later = record_at(later).version.previous)
        if (record_at(later).version.previous == number)
            record_at(later).version.previous = gone;
    record_at(number).version = moved;
    record_at(number).version.pair = gone;
    link_version(number);
}

RecordNumber add_use(const Use &use) {
    Record record{};
    record.kind = Record::Kind::use;
    record.use = use;
    return append(record);
}

RecordNumber version_at(const Place &place, bool reserve) {
    const uint64 key = place_key(place);
    if (records != nullptr)
        if (const auto number = static_cast<RecordNumber>(records->places.find(key)); number != 0)
            return number;
    if (!reserve)
        return 0;
    Record record{};
    record.kind = Record::Kind::version;
    record.version = Version{};
    const RecordNumber number = append(record);
    records->places.put(key, number);
    return number;
}

void note_place(const Place &place, RecordNumber version) {
    begun().places.put(place_key(place), version);
}

RecordNumber reserved_at(const Place &place) {
    if (records == nullptr)
        return 0;
    const auto number = static_cast<RecordNumber>(records->places.find(place_key(place)));
    const Record *record = open_record(number);
    return record != nullptr && record->version.operation == '\0' ? number : 0;
}

RecordNumber newest_version(int32 relation, int64 key_hash) {
    if (records == nullptr)
        return 0;
    auto number = static_cast<RecordNumber>(records->keys.find(version_key(relation, key_hash)));
    while (number > records->flushed && record_at(number).version.is_dropped)
        number = record_at(number).version.previous;
    return number;
}

RecordNumber reserve_version(int32 relation, int64 key_hash) {
    if (const RecordNumber number = reserved_version(relation, key_hash); number != 0)
        return number;
    Record record{};
    record.kind = Record::Kind::version;
    record.version = Version{};
    const RecordNumber number = append(record);
    records->reserved.put(version_key(relation, key_hash), number);
    return number;
}

RecordNumber reserved_version(int32 relation, int64 key_hash) {
    if (records == nullptr)
        return 0;
    const auto number = static_cast<RecordNumber>(records->reserved.find(version_key(relation, key_hash)));
    const Record *record = open_record(number);
    return record != nullptr && record->version.operation == '\0' ? number : 0;
}

} // namespace dbnet::provenance
