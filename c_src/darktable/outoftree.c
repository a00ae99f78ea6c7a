/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * darktable keeps an image's module order in main.module_order, either as the number of a built-in table or as a text "op,instance,...".
 * A module missing from that order is run last, behind the output profile, or not at all. The built-in tables are compiled in, so:
 *
 *  - two TEMP triggers rewrite each order as it is stored: a table number becomes that table's text, and a text without the module gets it
 *    behind colorin. TEMP triggers belong to this database connection: nothing of them remains in the library;
 *  - the order already in memory when an image is loaded is completed in reload_defaults, which runs before the history is read.
 *
 * Position: behind colorin, the data are linear RGB whatever the file was.
 */
#define _GNU_SOURCE
#include "outoftree.h"

#include "common/darktable.h"
#include "common/database.h"
#include "common/iop_order.h"
#include "config.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define ANCHOR "colorin"

// ---- guard ------------------------------------------------------------------------------------------------------------------------

// darktable_t of the running executable must have the size that we were compiled with: the module reads and writes it.
static gboolean _layout_fits(void)
{
  Dl_info info;
  const ElfW(Sym) *symbol = NULL;
  if(!dladdr1(&darktable, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol) return FALSE;
  return symbol->st_size == sizeof(darktable_t);
}

// The version this module answers with when darktable asks, the one compiled into deconvolution.c.
int deconvolution_dt_version(void);

// darktable asks for this before anything else of the module and skips the module when it is not its own.
__attribute__((visibility("default"))) int dt_module_dt_version(void)
{
  if(strcmp(darktable_package_version, DCV_DARKTABLE_VERSION))
    fprintf(stderr, "[deconvolution] built for darktable %s, but this is %s: not loaded, run install-darktable again\n",
            DCV_DARKTABLE_VERSION, darktable_package_version);
  else if(!_layout_fits())
    fprintf(stderr, "[deconvolution] darktable %s was compiled with other options than expected: not loaded\n", darktable_package_version);
  else
    return deconvolution_dt_version();
  return 0;
}

// ---- order ------------------------------------------------------------------------------------------------------------------------

// Enters op behind the anchor; TRUE when the list has it now. Numbers the entries anew, as darktable does.
static gboolean _insert(GList *list, const char *op)
{
  if(!dt_ioppr_get_iop_order_link(list, op, 0))
  {
    GList *anchor = dt_ioppr_get_iop_order_link(list, ANCHOR, 0);
    if(!anchor || !anchor->next) return FALSE;
    dt_iop_order_entry_t *entry = calloc(1, sizeof(dt_iop_order_entry_t)); // freed by darktable, with free()
    if(!entry) return FALSE;
    g_strlcpy(entry->operation, op, sizeof(entry->operation));
    list = g_list_insert_before(list, anchor->next, entry); // not at the head, so the list keeps its start
  }
  int order = 1;
  for(GList *l = list; l; l = g_list_next(l)) ((dt_iop_order_entry_t *)l->data)->o.iop_order = order++;
  return TRUE;
}

static gchar *_builtin_text(const dt_iop_order_t version)
{
  GList *list = dt_ioppr_get_iop_order_list_version(version);
  gchar *text = dt_ioppr_serialize_text_iop_order_list(list);
  g_list_free_full(list, free);
  return text;
}

// CASE expression giving the text of the order in row NEW
static gchar *_order_expression(void)
{
  GString *sql = g_string_new("CASE WHEN NEW.iop_list IS NOT NULL THEN NEW.iop_list");
  for(int version = DT_IOP_ORDER_CUSTOM + 1; version < DT_IOP_ORDER_LAST; version++)
  {
    gchar *text = _builtin_text(version);
    g_string_append_printf(sql, " WHEN NEW.version = %d THEN '%s'", version, text); // names are [a-z_]: nothing to quote
    g_free(text);
  }
  return g_string_free(g_string_append(sql, " END"), FALSE);
}

static void _create_triggers(const char *op)
{
  sqlite3 *db = dt_database_get(darktable.db);
  gchar *order = _order_expression();
  const char *event[] = { "INSERT", "UPDATE" };
  for(int i = 0; i < 2; i++)
  {
    // an order that has op already, or none of ours to complete (NULL with version 0: written in two steps), is left alone
    gchar *sql = g_strdup_printf(
        "CREATE TEMP TRIGGER %s_order_%s AFTER %s ON main.module_order"
        " WHEN (NEW.iop_list IS NULL AND NEW.version BETWEEN 1 AND %d)"
        "   OR (NEW.iop_list IS NOT NULL AND instr(NEW.iop_list, ',%s,') = 0)"
        " BEGIN UPDATE module_order"
        "   SET iop_list = replace(%s, '," ANCHOR ",0,', '," ANCHOR ",0,%s,0,'), version = 0"
        "   WHERE imgid = NEW.imgid;"
        " END",
        op, event[i], event[i], DT_IOP_ORDER_LAST - 1, op, order, op);
    char *error = NULL;
    if(sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
      fprintf(stderr, "[deconvolution] the module order cannot be kept: %s\n", error ? error : "?");
    sqlite3_free(error);
    g_free(sql);
  }
  g_free(order);
}

void outoftree_init_global(const char *op)
{
  if(!_insert(darktable.iop_order_list, op)) fprintf(stderr, "[deconvolution] no place in the module order\n");
  _create_triggers(op);
}

void outoftree_reload_defaults(dt_iop_module_t *self)
{
  dt_develop_t *dev = self->dev;
  if(!dev || !dev->iop_order_list || dt_ioppr_get_iop_order_link(dev->iop_order_list, self->op, -1)) return;
  if(!_insert(dev->iop_order_list, self->op)) return;

  // The caller walks dev->iop: renumber its modules in place. darktable sorts them when the history has been read.
  for(GList *l = dev->iop; l; l = g_list_next(l))
  {
    dt_iop_module_t *module = (dt_iop_module_t *)l->data;
    const dt_iop_order_entry_t *entry = dt_ioppr_get_iop_order_entry(dev->iop_order_list, module->op, module->multi_priority);
    if(entry && (module->iop_order != INT_MAX || module == self)) module->iop_order = entry->o.iop_order;
  }
}
