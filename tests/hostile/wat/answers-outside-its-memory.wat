;; Answers with a list that lies outside its memory.
(module
  (import "archipel:host/credentials@0.1.0" "[resource-drop]local-token" (func $drop (param i32)))

  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "archipel:cloud/quota@0.1.0#get-user-quota") (param i32) (result i32)
    (call $drop (local.get 0))
    (i32.store (i32.const 72) (i32.const 0x7ffffff8))
    (i32.store (i32.const 76) (i32.const 0x0fffffff))
    (i32.const 64)))
