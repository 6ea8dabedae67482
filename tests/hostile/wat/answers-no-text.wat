;; Answers with a name that is no UTF-8.
(module
  (import "archipel:host/credentials@0.1.0" "[resource-drop]local-token" (func $drop (param i32)))
  (data (i32.const 512) "\ff\fe\ff\ff")
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "archipel:cloud/quota@0.1.0#get-user-quota") (param i32) (result i32)
    (call $drop (local.get 0))
    (i32.store (i32.const 72) (i32.const 128))
    (i32.store (i32.const 76) (i32.const 1))
    (i32.store (i32.const 128) (i32.const 512))
    (i32.store (i32.const 132) (i32.const 4))
    (i32.const 64)))
