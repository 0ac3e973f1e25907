// Rows of a set-returning function (see row_writer.hpp); backends.
#include "mirror/functions/row_writer.hpp"

extern "C" {
#include "access/htup_details.h"
#include "nodes/execnodes.h"
#include "utils/tuplestore.h"
}

namespace dbnet::mirror {

RowWriter::RowWriter(FunctionCallInfo call_info) {
    pg::call([&] {
        InitMaterializedSRF(call_info, 0);
        result_ = reinterpret_cast<ReturnSetInfo *>(call_info->resultinfo);
        const MemoryContext before = MemoryContextSwitchTo(result_->econtext->ecxt_per_query_memory);
        inputs_ = TupleDescGetAttInMetadata(result_->setDesc);
        work_ = AllocSetContextCreateInternal(CurrentMemoryContext, "DBNet result row", ALLOCSET_DEFAULT_SIZES);
        MemoryContextSwitchTo(before);
    });
}

void RowWriter::add(std::span<const Value> values) {
    if (values.size() != static_cast<size_t>(result_->setDesc->natts))
        throw pg::error(ERRCODE_INTERNAL_ERROR, "DBNet's library and SQL definitions do not fit together")
            .hint("ALTER EXTENSION dbnet UPDATE;");
    std::vector<char *> texts;
    for (const Value &value : values)
        texts.push_back(value ? const_cast<char *>(value->c_str()) : nullptr);
    pg::call([&] {
        const MemoryContext before = MemoryContextSwitchTo(work_);
        tuplestore_puttuple(result_->setResult, BuildTupleFromCStrings(inputs_, texts.data()));
        MemoryContextSwitchTo(before);
        MemoryContextReset(work_); // what the input functions left
    });
}

} // namespace dbnet::mirror
