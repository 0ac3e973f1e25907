// Which records are written, and under which ids (see records.hpp). Backends.
#include "provenance/record/records.hpp"

namespace dbnet::provenance {
namespace {

// Gives the record its id, after the activities within which it is: a number that was promised before anything else was
// there may be lower than theirs; and after earlier versions of the same row: they may have been recorded later.
void number_one(uint32 index, EventId &next) noexcept {
    Record &record = records->list[index];
    if (!record.is_written || record.event != 0)
        return;
    const RecordNumber above = record.kind == Record::Kind::version    ? record.version.activity
                               : record.kind == Record::Kind::activity ? record.activity.parent
                                                                       : record.use.activity;
    if (above > records->flushed && records->list[above - records->flushed - 1].event == 0)
        number_one(above - records->flushed - 1, next);
    if (record.kind == Record::Kind::version) {
        RecordNumber before = record.version.previous;
        while (before > records->flushed && !record_at(before).is_written)
            before = record_at(before).version.previous;
        if (before > records->flushed && record_at(before).event == 0)
            number_one(before - records->flushed - 1, next);
    }
    record.event = next++;
}

} // namespace

// From the last to the first: who has something on record below is on record.
bool choose_what_is_written() noexcept {
    bool is_worth_it = false;
    for (uint32 index = records->in_part(); index-- > 0;) {
        Record &record = records->list[index];
        RecordNumber above = 0;
        switch (record.kind) {
        case Record::Kind::version:
            record.is_written = record.version.operation != '\0' && !record.version.is_dropped;
            above = record.version.activity;
            is_worth_it |= record.is_written;
            break;
        case Record::Kind::use:
            record.is_written = true;
            above = record.use.activity;
            is_worth_it = true;
            break;
        case Record::Kind::activity: {
            const Activity &activity = record.activity;
            const bool is_call = activity.kind == ActivityKind::call || activity.kind == ActivityKind::activation;
            record.is_written = record.is_written || activity.is_kept || (is_call && activity.has_followed);
            above = activity.parent;
            is_worth_it |= activity.is_kept;
            break;
        }
        }
        if (record.is_written && above > records->flushed)
            record_at(above).is_written = true;
    }
    return is_worth_it;
}

bool has_activity() noexcept {
    for (uint32 index = 0; index < records->in_part(); ++index)
        if (records->list[index].is_written && records->list[index].kind == Record::Kind::activity)
            return true;
    return false;
}

uint32 count_them() noexcept {
    uint32 count = 0;
    for (uint32 index = 0; index < records->in_part(); ++index) {
        Record &record = records->list[index];
        count += record.is_written ? 1 : 0;
        if (record.kind == Record::Kind::activity && record.activity.frame != nullptr)
            take_over(record.activity, *record.activity.frame);
    }
    return count;
}

void number_them(EventId transaction) noexcept {
    for (uint32 index = 0; index < records->in_part(); ++index)
        records->list[index].event = 0;
    if (transaction == 0)
        return;
    EventId next = transaction;
    for (uint32 index = 0; index < records->in_part() && next == transaction; ++index)
        if (records->list[index].kind == Record::Kind::activity)
            number_one(index, next);
    for (uint32 index = 0; index < records->in_part(); ++index)
        number_one(index, next);
}

} // namespace dbnet::provenance
